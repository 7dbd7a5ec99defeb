"""The names that select frameworks, formats and runtimes."""

from typing import Literal, get_args

Framework = Literal["keras", "tensorflow", "pytorch", "fastai"]
FRAMEWORKS: tuple[Framework, ...] = get_args(Framework)
FormatName = Literal["onnx", "savedmodel", "keras", "pt2"]
RuntimeName = Literal["onnxruntime", "tensorflow", "pytorch"]
Corruption = Literal["noise", "blur", "contrast", "jpeg"]
