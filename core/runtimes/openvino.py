"""The OpenVINO runtimes: ONNX on the CPU in the model's own precision, or computed in bfloat16."""

import os
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core import cpu
from core.errors import InvalidInputError
from core.runtimes import Predictor
from core.runtimes.devices import Device

HINTS = {"openvino": "f32", "openvino-bf16": "bf16"}


def import_openvino() -> Any:
    """OpenVINO, which reports nothing to its makers and lives in a process with another allocator.

    Its import reports itself from a forked process. Where the network drops that, it is terminated after three seconds,
    and the signal comes out of the pipe it shares with a server's event loop: the server drains.
    """
    # Its own stub takes the place of a package that cannot be imported.
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    # TBB binds its libraries to the C library's allocator, past that of Envoy, which then gets memory it never gave.
    os.environ.setdefault("TBB_ENABLE_SANITIZERS", "1")
    import openvino

    return openvino


def load(
    path: Path, threads: int, device: Device = "cpu", runtime: str = "openvino", data: bytes | None = None
) -> Predictor:
    """Loads `model.onnx`, or `data` as its content, on the CPU.

    `openvino` computes in the file's precision, int8 included, `openvino-bf16` in bfloat16 where the file says float32.

    Calls from several threads are computed side by side, each on `threads` threads, as far as the CPU quota reaches.

    Raises:
        InvalidInputError: the file is missing, is not a model OpenVINO can run, or keeps another contract; for bf16,
            that this CPU does not have it.
    """
    core = import_openvino().Core()
    if runtime == "openvino-bf16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise InvalidInputError("this CPU has no bfloat16 arithmetic; serve with --runtime openvino")
    try:
        model = core.read_model(path if data is None else data)
        found = [(port.any_name, str(port.element_type.to_string())) for port in (*model.inputs, *model.outputs)]
        if found != [("image", "u8"), ("probabilities", "f32")]:
            raise InvalidInputError(f"{path} needs uint8 'image' in and float 'probabilities' out, it has {found}")
        compiled = core.compile_model(model, "CPU", properties(threads, HINTS[runtime]))
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise InvalidInputError(f"{path} does not load in OpenVINO: {reason}; export the model again") from error
    return _predictor(compiled)


def properties(threads: int, precision: str) -> dict[str, Any]:
    """OpenVINO's settings for instances of so many threads each."""
    streams = max(1, cpu.threads() // threads)
    return {
        # Without the hint OpenVINO takes bfloat16 by itself where the CPU has it, and the golden cases do not hold.
        "INFERENCE_PRECISION_HINT": precision,
        "INFERENCE_NUM_THREADS": threads * streams,
        "NUM_STREAMS": streams,
        # A pinned thread waits for its core on a shared machine while another is idle.
        "ENABLE_CPU_PINNING": False,
    }


def _predictor(compiled: Any) -> Predictor:
    requests = threading.local()

    def predict(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        if not hasattr(requests, "own"):
            requests.own = compiled.create_infer_request()
        result = requests.own.infer({0: np.ascontiguousarray(images)}, share_inputs=True)
        # A copy: the request's own memory is written again by the next call.
        probabilities: NDArray[np.float32] = np.array(result[0], np.float32)
        return probabilities

    return predict
