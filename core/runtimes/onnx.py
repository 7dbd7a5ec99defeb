"""The onnxruntime runtime: ONNX on the CPU."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.errors import InvalidInputError
from core.runtimes import Predictor


def load(path: Path, threads: int) -> Predictor:
    """Loads `model.onnx` on the CPU with a thread pool of its own.

    Raises:
        InvalidInputError: the file is missing, is not a model ONNX Runtime can run, or keeps another contract.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Spinning threads take the CPU from everybody else on a shared machine.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        reason = str(error).partition("\n")[0]
        raise InvalidInputError(f"{path} does not load as ONNX: {reason}; export the model again") from error
    inputs = [(value.name, value.type) for value in session.get_inputs()]
    outputs = [value.name for value in session.get_outputs()]
    if (inputs, outputs) != ([("image", "tensor(uint8)")], ["probabilities"]):
        raise InvalidInputError(f"{path} needs uint8 'image' in and 'probabilities' out, it has {inputs} and {outputs}")

    def predict(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        probabilities: NDArray[np.float32] = session.run(None, {"image": images})[0]
        return probabilities

    return predict
