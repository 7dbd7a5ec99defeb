"""The loadable formats: where each lies in a version folder, which runtime serves it, what Triton calls it."""

from dataclasses import dataclass

from core.errors import InvalidInputError, NotFoundError

MAX_BATCH = 64
"""Largest batch a repository model accepts unless its config.pbtxt is edited."""


@dataclass(frozen=True)
class Format:
    """One format of the model repository."""

    name: str
    path: str
    """File or folder inside the version folder; Triton's default name where Triton knows the format."""
    runtime: str
    """The serving runtime that loads it where none is named."""
    triton: str
    """The line of config.pbtxt that names the backend."""


FORMATS: dict[str, Format] = {
    fmt.name: fmt
    for fmt in (
        Format("onnx", "model.onnx", "onnxruntime", 'platform: "onnxruntime_onnx"'),
        Format("savedmodel", "model.savedmodel", "tensorflow", 'platform: "tensorflow_savedmodel"'),
        Format("keras", "model.keras", "tensorflow", 'backend: "bakeoff_keras"'),
        Format("pt2", "exported_program.pt2", "pytorch", 'backend: "bakeoff_pt2"'),
    )
}

EXPORTS: dict[str, tuple[str, ...]] = {
    "keras": ("keras", "savedmodel", "onnx"),
    "tensorflow": ("savedmodel", "onnx"),
    "pytorch": ("pt2", "onnx"),
    "fastai": ("pt2", "onnx"),
}
"""Framework to the loadable formats it exports, its native one first."""


def get_format(name: str) -> Format:
    """Looks a format up; an unknown name lists the known ones."""
    if name not in FORMATS:
        raise NotFoundError(f"unknown format {name!r}; known: {', '.join(FORMATS)}")
    return FORMATS[name]


OTHER_RUNTIMES: dict[str, tuple[str, ...]] = {"openvino": ("onnx",), "openvino-bf16": ("onnx",)}
"""Runtimes that are no format's first choice, and what they load too."""


def formats_of(runtime: str) -> tuple[str, ...]:
    """Names of the formats a runtime serves."""
    return OTHER_RUNTIMES.get(runtime) or tuple(fmt.name for fmt in FORMATS.values() if fmt.runtime == runtime)


def choose_runtime(format_name: str, wanted: str | None = None) -> str:
    """The runtime that serves a format: its own, or the one that is wanted if it can.

    Raises:
        InvalidInputError: it cannot, or there is none of that name; lists those that can.
    """
    able = [get_format(format_name).runtime, *(name for name, also in OTHER_RUNTIMES.items() if format_name in also)]
    if wanted is not None and wanted not in able:
        raise InvalidInputError(f"runtime {wanted!r} does not serve {format_name}; able are: {', '.join(able)}")
    return wanted or able[0]
