"""Loads artefacts: one file per format, imported when it is asked for.

Every module here has `load(path, threads) -> Predictor`. Names select the module through one dict; the library it needs
is imported inside `load`.
"""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.errors import MissingExtraError
from core.formats import OTHER_RUNTIMES, get_format

Predictor = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""images uint8 [n, height, width, channels] → probabilities float32 [n, classes]. Safe to call from several threads."""

MODULES = {
    "onnx": "core.runtimes.onnx",
    "savedmodel": "core.runtimes.savedmodel",
    "keras": "core.runtimes.keras",
    "pt2": "core.runtimes.pt2",
}
OTHER_MODULES = dict.fromkeys(OTHER_RUNTIMES, "core.runtimes.openvino")
EXTRAS = {
    "onnxruntime": "serving",
    "tensorflow": "serving-tensorflow",
    "pytorch": "serving-pytorch",
    "openvino": "serving-openvino",
    "openvino-bf16": "serving-openvino",
}


def load(format_name: str, path: Path, threads: int, runtime: str | None = None) -> Predictor:
    """Loads an artefact.

    Args:
        format_name: a key of `core.formats.FORMATS`.
        path: the file or folder the format names.
        threads: CPU threads the runtime may use.
        runtime: one that loads the format; None: the format's first choice.

    Raises:
        NotFoundError: unknown format, the known ones listed.
        MissingExtraError: its library is not installed; says which extra to install.
    """
    fmt = get_format(format_name)
    chosen = runtime or fmt.runtime
    try:
        predictor: Predictor
        if chosen in OTHER_RUNTIMES:
            predictor = import_module(OTHER_MODULES[chosen]).load(path, threads, chosen)
        else:
            predictor = import_module(MODULES[fmt.name]).load(path, threads)
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"the {chosen} runtime ({error.name})", EXTRAS[chosen]) from error
    return predictor
