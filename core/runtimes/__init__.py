"""Loads artefacts: one file per format, imported when it is asked for.

Every module of a format has `load(path, threads, device) -> Predictor`; those for ONNX also take the file's content,
`data`. Names select the module through one dict; the library it needs is imported inside `load`.
"""

import logging
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import MissingExtraError, WrongStateError
from core.formats import OTHER_RUNTIMES, get_format
from core.runtimes import devices

if TYPE_CHECKING:
    # Settings name devices; whoever only reads settings need not wait for NumPy.
    import numpy as np
    from numpy.typing import NDArray

log = logging.getLogger(__name__)
Predictor = Callable[["NDArray[np.uint8]"], "NDArray[np.float32]"]
"""images uint8 [n, height, width, channels] → probabilities float32 [n, classes]. Safe to call from several threads."""

MODULES = {
    "onnx": "core.runtimes.onnx",
    "savedmodel": "core.runtimes.savedmodel",
    "keras": "core.runtimes.keras",
    "pt2": "core.runtimes.pt2",
}
OTHER_MODULES = dict.fromkeys(OTHER_RUNTIMES, "core.runtimes.openvino")
EXTRAS = {
    "onnxruntime": "serving",
    "tensorflow": "serving-tensorflow",
    "pytorch": "serving-pytorch",
    "openvino": "serving-openvino",
    "openvino-bf16": "serving-openvino",
}


def load(
    format_name: str, path: Path, threads: int, runtime: str | None = None, device: devices.Wanted = "cpu"
) -> Predictor:
    """Loads an artefact from where it lies. See `load_on`."""
    return load_on(format_name, path, threads, runtime, device)[0]


def load_on(
    format_name: str,
    path: Path,
    threads: int,
    runtime: str | None = None,
    device: devices.Wanted = "cpu",
    data: bytes | None = None,
) -> tuple[Predictor, devices.Device]:
    """Loads an artefact and tells what it computes on.

    Args:
        format_name: a key of `core.formats.FORMATS`.
        path: the file or folder the format names.
        threads: CPU threads the runtime may use.
        runtime: one that loads the format; None: the format's first choice.
        device: what to compute on; auto: a CUDA GPU where the runtime finds and can use one, else the CPU.
        data: for ONNX, the content of the file, loaded instead of what lies at `path` by then; None: it is read.

    Raises:
        NotFoundError: unknown format, the known ones listed.
        MissingExtraError: its library is not installed; says which extra to install.
        WrongStateError: cuda is wanted, and the runtime finds none or cannot use it.
    """
    fmt = get_format(format_name)
    chosen = runtime or fmt.runtime
    on = choose_device(chosen, device)
    try:
        return _load(fmt.name, path, threads, chosen, on, data), on
    except WrongStateError as error:
        if device != "auto":
            raise
        log.warning("%s; computing on the CPU", error)
        return _load(fmt.name, path, threads, chosen, "cpu", data), "cpu"


def choose_device(runtime: str, wanted: devices.Wanted) -> devices.Device:
    """What a runtime computes on here.

    Raises:
        MissingExtraError, WrongStateError: as `load` does.
    """
    try:
        return devices.choose(runtime, wanted)
    except ModuleNotFoundError as error:
        raise _missing(runtime, error) from error


def _load(
    format_name: str, path: Path, threads: int, runtime: str, device: devices.Device, data: bytes | None
) -> Predictor:
    given = {} if data is None else {"data": data}
    try:
        predictor: Predictor
        if runtime in OTHER_RUNTIMES:
            predictor = import_module(OTHER_MODULES[runtime]).load(path, threads, device, runtime, **given)
        else:
            predictor = import_module(MODULES[format_name]).load(path, threads, device, **given)
    except ModuleNotFoundError as error:
        raise _missing(runtime, error) from error
    return predictor


def _missing(runtime: str, error: ModuleNotFoundError) -> MissingExtraError:
    return MissingExtraError(f"the {runtime} runtime ({error.name})", EXTRAS[runtime])
