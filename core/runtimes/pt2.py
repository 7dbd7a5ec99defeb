"""The pytorch runtime: programs written by torch.export."""

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.errors import InvalidInputError
from core.runtimes import Predictor


def load(path: Path, threads: int) -> Predictor:
    """Loads `exported_program.pt2` on the CPU. `threads` counts for the whole process, as torch has it.

    Raises:
        InvalidInputError: the file is missing or is not an exported program.
    """
    # Without this torch.export.load unpickles whatever the file holds, and a tampered file runs code.
    os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"
    import torch

    torch.set_num_threads(threads)
    try:
        module = torch.export.load(path).module()
    except Exception as error:
        raise InvalidInputError(
            f"{path} does not load as an exported program: {error}; export the model again"
        ) from error

    def predict(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        with torch.inference_mode():
            probabilities: NDArray[np.float32] = module(torch.from_numpy(np.array(images))).numpy()
        return probabilities

    return predict
