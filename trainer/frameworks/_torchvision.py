"""Makes torchvision importable beside a CPU build of torch.

The torchvision of the package index is built for the CUDA torch. Beside a CPU one its library of operators does not
load, and the import stops at the first operator it describes. Two schemas are all that import needs; nothing runs them.
"""

import sys
from importlib import import_module
from types import ModuleType

import torch

SCHEMAS = tuple(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor" for name in ("nms", "qnms"))
_defined: list[torch.library.Library] = []  # a library's operators live as long as it does


def import_torchvision() -> ModuleType:
    """torchvision, its missing operators declared where the real ones did not load. Call before any other import."""
    try:
        return import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]
    library = torch.library.Library("torchvision", "DEF")
    for schema in SCHEMAS:
        library.define(schema)
    _defined.append(library)
    return import_module("torchvision")
