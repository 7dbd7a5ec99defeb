"""The pytorch runtime: programs written by torch.export."""

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.errors import InvalidInputError, WrongStateError
from core.runtimes import Predictor
from core.runtimes.devices import Device


def load(path: Path, threads: int, device: Device = "cpu") -> Predictor:
    """Loads `exported_program.pt2`. `threads` counts for the whole process, as torch has it.

    Raises:
        InvalidInputError: the file is missing, is not an exported program, or its input is not the contract's.
        WrongStateError: the GPU cannot be used.
    """
    # Without this torch.export.load unpickles whatever the file holds, and a tampered file runs code.
    os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"
    import torch
    from torch.export.passes import move_to_device_pass

    torch.set_num_threads(threads)
    try:
        program = torch.export.load(path)
        module = program.module()
    except Exception as error:
        reason = str(error).partition("\n")[0]
        raise InvalidInputError(
            f"{path} does not load as an exported program: {reason}; export the model again"
        ) from error

    if device == "cuda":
        try:
            # TensorFloat-32 keeps ten bits of a mantissa: the golden cases would not hold.
            torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
            program = move_to_device_pass(program, device)
            module = program.module()
        except RuntimeError as error:
            reason = str(error).partition("\n")[0]
            raise WrongStateError(f"{path} does not load on the CUDA GPU: {reason}; set --device cpu") from error

    inputs = list(program.graph_signature.user_inputs)
    if inputs != ["image"]:
        raise InvalidInputError(f"{path} needs one input 'image', it has {inputs}")

    def predict(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        with torch.inference_mode():
            # A copy: torch does not share read-only memory, as that of a received message is.
            probabilities: NDArray[np.float32] = module(torch.from_numpy(np.array(images)).to(device)).cpu().numpy()
        return probabilities

    return predict
