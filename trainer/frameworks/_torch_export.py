"""A classifier to `.pt2` (torch.export) and ONNX: uint8 NHWC in, float32 probabilities out, dynamic batch."""

import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from core.errors import BakeoffError
from trainer.frameworks._onnx import INPUT, OUTPUT, read_facts
from trainer.layers import Architecture

MAX_BATCH = 1024
OPSET = 20
TRANSPOSES = 2
"""One at the input, one before a flatten."""


def export_pt2(classifier: nn.Module, architecture: Architecture, path: Path) -> None:
    """Writes an exported program for batches of 1 to 1024."""
    dynamic = {"image": {0: torch.export.Dim("batch", min=1, max=MAX_BATCH)}}
    with torch.no_grad():
        program = torch.export.export(classifier, (_example(architecture),), dynamic_shapes=dynamic)
    # Only the graph and its weights: without a sample, loading has nothing to unpickle.
    program._example_inputs = None
    torch.export.save(program, path)


def export_onnx(classifier: nn.Module, architecture: Architecture, path: Path) -> None:
    """Writes one ONNX file, weights inside, and checks it.

    Raises:
        BakeoffError: the file has another opset or more layout changes than a served model may have, or is invalid.
    """
    with torch.no_grad(), warnings.catch_warnings():
        # torch's exporter still uses an idiom that torch deprecates.
        warnings.filterwarnings("ignore", r".*isinstance\(treespec, LeafSpec\)", FutureWarning)
        torch.onnx.export(
            classifier,
            (_example(architecture),),
            path,
            dynamo=True,
            external_data=False,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes={"image": {0: torch.export.Dim("batch", min=1, max=MAX_BATCH)}},
            opset_version=OPSET,
            verbose=False,
        )
    facts = read_facts(path)
    # An opset the exporter cannot reach is only logged, and the file keeps another one.
    if (facts.opset, facts.transposes <= TRANSPOSES) != (OPSET, True):
        raise BakeoffError(
            f"{architecture.name} as ONNX has opset {facts.opset} and {facts.transposes} Transpose nodes, "
            f"expected {OPSET} and at most {TRANSPOSES}; install the versions in constraints.txt"
        )


def _example(architecture: Architecture) -> Tensor:
    # Two images: a batch of one would be taken for a constant.
    return torch.zeros((2, *architecture.input_shape), dtype=torch.uint8)
