"""What measuring taught about a model on this kind of machine: kept in the server's cache directory."""

import hashlib
import json
import logging
import platform
from pathlib import Path

import pydantic

from core import environment, files
from core.cpu import quota
from core.schemas.base import Schema

log = logging.getLogger(__name__)


class Choice(Schema):
    """How a model is computed."""

    instances: int = pydantic.Field(ge=1)
    """Batches computed at the same time."""
    threads: int = pydantic.Field(ge=1)
    """Of the runtime, for each batch."""
    max_batch: int = pydantic.Field(ge=1)
    """Most images computed at once."""
    max_delay_us: int = pydantic.Field(0, ge=0)
    """Microseconds the oldest request may wait for company while an instance is idle."""


class Tuned(Schema):
    """The choice for one artefact on one kind of machine, and what it was chosen on."""

    model: str
    artifact: str
    """Digest of the artefact's files."""
    machine: str
    """See `machine`."""
    choice: Choice
    capacity: float
    """Images per second that the CPU time spent at load would allow on cores of its own, without transport."""
    images_per_s: float
    """By the clock, whatever else ran."""
    p99_ms: float
    default: Choice
    """What the server would do otherwise."""
    default_capacity: float
    trials: int
    seconds: float
    load_average: float
    """Of the machine when it began: other work makes a measurement worth less."""


LIBRARIES = {
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu"),
    "pytorch": ("torch",),
    "tensorflow": ("tensorflow", "tensorflow-cpu"),
    "openvino": ("openvino",),
    "openvino-bf16": ("openvino",),
}
"""Runtime to the distributions its library may come from."""
GPUS = Path("/proc/driver/nvidia/gpus")
"""NVIDIA's driver describes each of them there; the first line is the model."""


def machine(runtime: str, device: str = "auto") -> str:
    """A name for machines on which a choice holds: processor, CPU quota, the runtime with its version, GPUs, and the
    device where it was not left to the runtime."""
    described = environment.describe(threads=1)
    versions = [described.versions[name] for name in LIBRARIES[runtime] if name in described.versions]
    gpus = [path.read_text().partition("\n")[0] for path in sorted(GPUS.glob("*/information"))]
    own = [device] if device != "auto" else []
    kind = [platform.machine(), described.cpu_model, f"{quota():g}", runtime, *versions, *gpus, *own]
    return hashlib.sha256(json.dumps(kind).encode()).hexdigest()[:12]


class TuningCache:
    """The choices in one cache directory; `folder` None keeps and finds nothing."""

    def __init__(self, folder: Path | None, runtime: str, device: str = "auto") -> None:
        self._folder = folder / "tuning" if folder else None
        self.machine = machine(runtime, device) if folder else ""

    def find(self, artifact: str) -> Tuned | None:
        """What is known of an artefact here. A file that cannot be read counts as nothing, with a warning."""
        path = self._path(artifact)
        if path is None or not path.is_file():
            return None
        try:
            return Tuned.model_validate_json(path.read_bytes())
        except (pydantic.ValidationError, OSError) as error:
            log.warning("%s is not used: %s; run bakeoff tune again", path, str(error).partition("\n")[0])
            return None

    def keep(self, tuned: Tuned) -> Path:
        """Writes a choice, whole or not at all."""
        path = self._path(tuned.artifact)
        assert path is not None
        files.write_json(path, tuned)
        return path

    def _path(self, artifact: str) -> Path | None:
        return self._folder / f"{artifact}-{self.machine}.json" if self._folder else None
