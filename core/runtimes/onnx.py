"""The onnxruntime runtime: ONNX on the CPU or a CUDA GPU."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.errors import InvalidInputError, WrongStateError
from core.runtimes import Predictor
from core.runtimes.devices import CUDA_PROVIDER, Device

PROVIDERS: dict[Device, list[str | tuple[str, dict[str, str]]]] = {
    "cpu": ["CPUExecutionProvider"],
    # TensorFloat-32 keeps ten bits of a mantissa: the golden cases would not hold.
    "cuda": [(CUDA_PROVIDER, {"use_tf32": "0"}), "CPUExecutionProvider"],
}


def load(path: Path, threads: int, device: Device = "cpu", data: bytes | None = None) -> Predictor:
    """Loads `model.onnx`, or `data` as its content, with a thread pool of its own.

    Raises:
        InvalidInputError: the file is missing, is not a model ONNX Runtime can run, or keeps another contract.
        WrongStateError: the GPU cannot be used.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Spinning threads take the CPU from everybody else on a shared machine.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # By itself it would take bytes that look like its own format for that, whatever else was checked in them.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    if device == "cuda":
        # CUDA's libraries may come as packages beside this one, where the system's loader does not look.
        onnxruntime.preload_dlls()
    try:
        # Without fallback: it would go over to the CPU for good after one failure, and say so on standard output.
        source = str(path) if data is None else data
        session = onnxruntime.InferenceSession(source, options, providers=PROVIDERS[device], enable_fallback=0)
    except Exception as error:
        reason = str(error).partition("\n")[0]
        if device == "cuda":
            raise WrongStateError(f"{path} does not load on the CUDA GPU: {reason}; set --device cpu") from error
        raise InvalidInputError(f"{path} does not load as ONNX: {reason}; export the model again") from error
    if device == "cuda" and session.get_providers()[0] != CUDA_PROVIDER:
        # It only logs when a library of CUDA is missing, and takes the next provider.
        raise WrongStateError("ONNX Runtime cannot use the CUDA GPU; its own log above says why, or set --device cpu")
    # Kept for a fallback that is switched off: as much memory as the model again.
    session._model_bytes = None
    inputs = [(value.name, value.type) for value in session.get_inputs()]
    outputs = [value.name for value in session.get_outputs()]
    if (inputs, outputs) != ([("image", "tensor(uint8)")], ["probabilities"]):
        raise InvalidInputError(f"{path} needs uint8 'image' in and 'probabilities' out, it has {inputs} and {outputs}")

    def predict(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        probabilities: NDArray[np.float32] = session.run(None, {"image": images})[0]
        return probabilities

    return predict
