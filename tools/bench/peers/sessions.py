"""The same onnxruntime session for every peer, as our server has it: one thread for each call, no spinning."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnxruntime


class Predictor:
    """Computes one request; in the event loop itself with `workers` 0, otherwise in that many threads."""

    def __init__(self, path: str, workers: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._threads = ThreadPoolExecutor(workers) if workers else None

    async def __call__(self, images: np.ndarray) -> np.ndarray:
        if self._threads is None:
            return self._compute(images)
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._compute, images)

    def _compute(self, images: np.ndarray) -> np.ndarray:
        return self._session.run(None, {"image": images})[0]
