"""How frameworks, formats and runtimes are written for people: in the report and on the pages alike."""

FRAMEWORK_NAMES = {"keras": "Keras", "tensorflow": "TensorFlow", "pytorch": "PyTorch", "fastai": "fastai"}
FORMAT_NAMES = {"onnx": "ONNX", "savedmodel": "SavedModel", "keras": ".keras", "pt2": ".pt2"}
RUNTIME_NAMES = {
    "onnxruntime": "ONNX Runtime",
    "openvino": "OpenVINO",
    "openvino-bf16": "OpenVINO bf16",
    "tensorflow": "TensorFlow",
    "pytorch": "PyTorch",
}


def framework(name: str) -> str:
    """How the framework's makers write it; an unknown name as it is."""
    return FRAMEWORK_NAMES.get(name, name)


def format_name(name: str) -> str:
    """How the format is usually written; an unknown name as it is."""
    return FORMAT_NAMES.get(name, name)


def runtime(name: str) -> str:
    """How the runtime's makers write it; an unknown name as it is."""
    return RUNTIME_NAMES.get(name, name)


def made(format_: str, precision: str) -> str:
    """`ONNX`, `ONNX int8`."""
    return format_name(format_) + " int8" * (precision == "int8")
