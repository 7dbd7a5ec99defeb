"""What a runtime computes on: the CPU, or a CUDA GPU where its library finds one."""

from pathlib import Path
from typing import Literal

from core.errors import WrongStateError
from core.formats import OTHER_RUNTIMES

Device = Literal["cpu", "cuda"]
Wanted = Literal["auto", "cpu", "cuda"]
CUDA_PROVIDER = "CUDAExecutionProvider"


def choose(runtime: str, wanted: Wanted) -> Device:
    """The device of a runtime here; auto takes the GPU where there is one. Imports the runtime's library unless the
    CPU is wanted.

    Raises:
        WrongStateError: cuda is wanted and not to be had.
        ModuleNotFoundError: the library is not installed.
    """
    if wanted == "cpu":
        return "cpu"
    if _has_cuda(runtime):
        return "cuda"
    if wanted == "auto":
        return "cpu"
    if runtime in OTHER_RUNTIMES:
        raise WrongStateError(f"the {runtime} runtime computes on the CPU alone here; set --device to auto or cpu")
    raise WrongStateError(
        f"the {runtime} runtime finds no CUDA GPU here (driver, or a build of the library without CUDA); set --device "
        "to auto or cpu"
    )


def _has_cuda(runtime: str) -> bool:
    match runtime:
        case "onnxruntime":
            import onnxruntime

            # A build with CUDA lists the provider on machines without a GPU too.
            return CUDA_PROVIDER in onnxruntime.get_available_providers() and any(Path("/dev").glob("nvidia[0-9]*"))
        case "pytorch":
            import torch

            return bool(torch.cuda.is_available())
        case "tensorflow":
            from core.runtimes._tensorflow import import_tensorflow

            return bool(import_tensorflow().config.list_physical_devices("GPU"))
    return False
