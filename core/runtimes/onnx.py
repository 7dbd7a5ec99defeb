"""The onnxruntime runtime: ONNX on the CPU."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.errors import InvalidInputError
from core.runtimes import Predictor


def load(path: Path, threads: int) -> Predictor:
    """Loads `model.onnx` on the CPU with a thread pool of its own.

    Raises:
        InvalidInputError: the file is missing or is not a model ONNX Runtime can run.
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
        raise InvalidInputError(f"{path} does not load as ONNX: {error}; export the model again") from error
    name = session.get_inputs()[0].name

    def predict(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        # The client's contract: a numpy scalar dtype or layout it does not know is refused by the session itself.
        probabilities: NDArray[np.float32] = session.run(None, {name: np.ascontiguousarray(images)})[0]
        return probabilities

    return predict
