"""The names that select frameworks, formats and runtimes."""

from typing import Literal, get_args

Framework = Literal["keras", "tensorflow", "pytorch", "fastai"]
FRAMEWORKS: tuple[Framework, ...] = get_args(Framework)
FormatName = Literal["onnx", "savedmodel", "keras", "pt2"]
RuntimeName = Literal["onnxruntime", "tensorflow", "pytorch", "openvino", "openvino-bf16"]
RUNTIMES: tuple[RuntimeName, ...] = get_args(RuntimeName)
Precision = Literal["fp32", "int8", "bf16"]
VariantName = Literal["int8", "openvino", "openvino-bf16"]
Corruption = Literal["noise", "blur", "contrast", "jpeg"]
