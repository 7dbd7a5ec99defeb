"""A classifier to `.pt2` (torch.export) and ONNX: uint8 NHWC in, float32 probabilities out, dynamic batch."""

import warnings
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from core.errors import WrongStateError
from trainer.layers import Architecture

MAX_BATCH = 1024
OPSET = 20


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
        WrongStateError: the exporter left another opset in the file than it was asked for.
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
            input_names=["image"],
            output_names=["probabilities"],
            dynamic_shapes={"image": {0: torch.export.Dim("batch", min=1, max=MAX_BATCH)}},
            opset_version=OPSET,
            verbose=False,
        )
    written = onnx.load(path)
    onnx.checker.check_model(written, full_check=True)
    # An opset the exporter cannot reach is only logged, the file keeps another one.
    opset = next(entry.version for entry in written.opset_import if entry.domain in ("", "ai.onnx"))
    if opset != OPSET:
        raise WrongStateError(
            f"{path.name} was written with opset {opset}, expected {OPSET}; use the locked torch and onnxscript"
        )


def _example(architecture: Architecture) -> Tensor:
    # Two images: a batch of one would be taken for a constant.
    return torch.zeros((2, *architecture.input_shape), dtype=torch.uint8)
