"""Static quantisation of an ONNX file with ONNX Runtime's own tools."""

import logging
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from core.errors import BakeoffError
from trainer.frameworks._onnx import INPUT

BATCH = 32
OPERATORS = [
    "Conv",
    "ConvTranspose",
    "Gemm",
    "MatMul",
    "Add",
    "Relu",
    "Clip",
    "MaxPool",
    "AveragePool",
    "GlobalAveragePool",
]
"""Scaling of pixels and the softmax stay in float32: probabilities of eight bits would not sum to one."""


def quantize_static(source: Path, target: Path, images: NDArray[np.uint8]) -> None:
    """Writes `source` to `target` with int8 weights per channel and int8 activations, as QuantizeLinear and
    DequantizeLinear pairs (QDQ, S8S8) that ONNX Runtime and OpenVINO both fuse.

    Args:
        images: uint8 [n, height, width, channels] that the ranges of the activations are taken from.

    Raises:
        BakeoffError: the tools cannot quantise this graph.
    """
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Calibration(quantization.CalibrationDataReader):
        """Batches of images, once."""

        def __init__(self) -> None:
            self._batches: Iterator[NDArray[np.uint8]] = iter(np.array_split(images, -(-len(images) // BATCH)))

        def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
            """None at the end."""
            batch = next(self._batches, None)
            return None if batch is None else {INPUT: batch}

    # Its warnings are about steps that were done, or that these graphs do not need.
    logging.getLogger().setLevel(logging.ERROR)
    with TemporaryDirectory() as folder:
        prepared = Path(folder) / "prepared.onnx"
        try:
            quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
            quantization.quantize_static(
                str(prepared),
                str(target),
                Calibration(),
                quant_format=quantization.QuantFormat.QDQ,
                op_types_to_quantize=OPERATORS,
                per_channel=True,
                activation_type=quantization.QuantType.QInt8,
                weight_type=quantization.QuantType.QInt8,
            )
        except (RuntimeError, ValueError, KeyError) as error:
            raise BakeoffError(f"{source} cannot be quantised: {error}") from error
