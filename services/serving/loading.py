"""Brings one version of a model from disk to a predictor that has proved itself. Runs in a thread."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core import runtimes
from core.errors import InvalidInputError, WrongStateError
from core.formats import formats_of, get_format
from core.repository import MANIFEST, ModelRepository
from core.runtimes import devices
from core.schemas.artifact import Artifact
from services.serving.compute import Predict
from services.serving.config import ServedConfig, read_config
from services.serving.settings import ServingSettings
from services.serving.trust import check_format, check_onnx
from services.serving.tuned import TuningCache

log = logging.getLogger(__name__)
ONE_POOL = ("tensorflow",)
"""Runtimes whose threads belong to the process and serve all callers together."""
EXTRA_TOLERANCE = {"openvino-bf16": 0.05}
"""A bfloat16 has eight bits of mantissa: probabilities differ, as they are meant to. Evaluation tells what it costs."""
LoadRuntime = Callable[[str, Path, int, bytes | None], tuple[Predict, devices.Device]]
"""Format name, path, threads and content, where it was read, to a predictor and what it computes on."""
Stamp = tuple[int, int, int]
"""Inode, size and modification time of a file: tells one that was written again."""
Source = tuple[Stamp, Stamp | None]
"""What a version is loaded from: its manifest, and its model's config.pbtxt where there is one."""


@dataclass(frozen=True)
class Checked:
    """A version whose files are those of its manifest, and which this server may load."""

    artifact: Artifact
    path: Path
    """What the runtime loads."""
    data: bytes | None
    """The content of an ONNX file as it was checked, to be loaded in its place; None: the runtime reads `path`."""


@dataclass(frozen=True)
class LoadedModel:
    """A version that reproduced its golden cases and is warm."""

    artifact: Artifact
    config: ServedConfig
    predict: Predict
    source: Source
    tuned: bool = False
    """Whether `config` follows what was measured on this machine."""


class Loader:
    """Loads versions of the models of one repository with one runtime."""

    def __init__(
        self, repository: ModelRepository, settings: ServingSettings, runtime: LoadRuntime | None = None
    ) -> None:
        self._repository, self._settings = repository, settings
        self._runtime = runtime or self._load
        self._tuning = TuningCache(settings.cache, settings.runtime, settings.device)

    def load(self, name: str, version: int) -> LoadedModel:
        """Verifies, loads, compares with the golden cases and warms up.

        Raises:
            NotFoundError: no such version.
            WrongStateError: another runtime's format, or a format this repository is not trusted with.
            InvalidInputError: another model's folder, damaged files, a broken model, or probabilities that differ from
                the golden cases.
            MissingExtraError: the runtime is not installed.
        """
        config_path = self._repository.root / name / "config.pbtxt"
        # Before anything is read: what is written meanwhile is another source.
        source = (stamp(self._repository.path(name, version) / MANIFEST), stamp_if_there(config_path))
        checked = self.check(name, version)
        artifact = checked.artifact
        tuned = self._tuning.find(artifact.digest)
        config = read_config(artifact, config_path, self._settings, tuned.choice if tuned else None)
        predict, device = self.predictor(checked, self.threads(config))
        # The runtime has what it needs; the batches to come want the room.
        del checked
        config = config.on(device)
        more = EXTRA_TOLERANCE.get(self._settings.runtime, 0.0)
        check_golden(artifact, self._repository.path(name, version), predict, more)
        _warm_up(predict, config)
        how = f"{config.policy.instances} × {config.threads} threads, batches up to {config.policy.max_batch}"
        log.info(
            "model %s version %d (%s) is ready: %s%s", name, version, artifact.format, how, ", tuned" * bool(tuned)
        )
        return LoadedModel(artifact, config, predict, source, bool(tuned))

    def check(self, name: str, version: int) -> Checked:
        """Verifies a version's files and whether this server may load them. Raises as `load`."""
        artifact = self._repository.artifact(name, version)
        self._check_name(artifact, name, version)
        self._check_runtime(artifact)
        path = self._repository.path(name, version) / get_format(artifact.format).path
        trusted = self._settings.trust_repository
        if not trusted:
            check_format(artifact.format, path)
        # Only a file that needs no other beside it can be loaded from memory; no other one is loaded without trust.
        in_memory = artifact.format == "onnx" and (not trusted or _is_alone(path.name, artifact))
        data = self._repository.read(artifact, path.name if in_memory else None)
        if data is not None and not trusted:
            check_onnx(path, data)
        return Checked(artifact, path, data)

    def predictor(self, checked: Checked, threads: int) -> tuple[Predict, devices.Device]:
        """Has the runtime load a version: predictor, and what it computes on."""
        return self._runtime(checked.artifact.format, checked.path, threads, checked.data)

    def _load(self, format_name: str, path: Path, threads: int, data: bytes | None) -> tuple[Predict, devices.Device]:
        return runtimes.load_on(format_name, path, threads, self._settings.runtime, self._settings.device, data)

    def threads(self, config: ServedConfig) -> int:
        """Threads to ask the runtime for: each instance's, unless all instances share one pool."""
        return self._settings.threads if self._settings.runtime in ONE_POOL else config.threads

    def _check_name(self, artifact: Artifact, name: str, version: int) -> None:
        """A folder that was copied would answer, and count, under another model's name."""
        if (artifact.name, artifact.version) != (name, version):
            raise InvalidInputError(
                f"{self._repository.path(name, version)} holds version {artifact.version} of model {artifact.name!r}; "
                "publish it under its new name instead of copying its folder"
            )

    def _check_runtime(self, artifact: Artifact) -> None:
        if reason := foreign(artifact, self._settings.runtime):
            raise WrongStateError(f"model {artifact.name!r}: {reason}")


def stamp(path: Path) -> Stamp:
    """Of a file. Raises FileNotFoundError."""
    status = path.stat()
    return (status.st_ino, status.st_size, status.st_mtime_ns)


def stamp_if_there(path: Path) -> Stamp | None:
    """Of a file; None where there is none."""
    try:
        return stamp(path)
    except FileNotFoundError:
        return None


def _is_alone(path: str, artifact: Artifact) -> bool:
    """Whether a model is one file; ONNX may keep its weights in others."""
    return not [file.path for file in artifact.files if file.path != path and not file.path.startswith("golden/")]


def foreign(artifact: Artifact, runtime: str) -> str:
    """Why this runtime cannot serve the artefact; empty when it can."""
    if artifact.format in formats_of(runtime):
        return ""
    needed = get_format(artifact.format).runtime
    return f"{artifact.format} is served by the {needed} runtime, this server has {runtime}; ask the server that has it"


def check_golden(artifact: Artifact, folder: Path, predict: Predict, more: float = 0.0) -> None:
    """Runs the golden cases; `more` is allowed on top of their tolerance.

    Raises:
        InvalidInputError: they are missing or do not fit the model, or the largest difference exceeds the tolerance.
    """
    golden = artifact.golden
    images, expected = _array(artifact, folder, golden.images), _array(artifact, folder, golden.probabilities)
    wanted = (len(images), *artifact.preprocess.shape), (len(images), len(artifact.classes))
    if not len(images) or images.dtype != np.uint8 or (images.shape, expected.shape) != wanted:
        raise InvalidInputError(
            f"golden cases of {artifact.name!r} are {images.dtype} {images.shape} and {expected.shape}, expected uint8 "
            f"{wanted[0]} and {wanted[1]}, at least one; publish the model again"
        )
    actual = predict(images)
    if actual.shape != expected.shape or actual.dtype != np.float32:
        raise InvalidInputError(
            f"model {artifact.name!r} gives {actual.dtype} {actual.shape}, expected float32 {expected.shape}; "
            "export it again"
        )
    difference = float(np.abs(actual - expected).max())
    if not difference <= golden.tolerance + more:
        raise InvalidInputError(
            f"model {artifact.name!r} differs from its golden cases by {difference:.3g}, expected at most "
            f"{golden.tolerance + more:.3g}; export it again"
        )


def _array(artifact: Artifact, folder: Path, relative: str) -> NDArray[Any]:
    if relative not in {file.path for file in artifact.files}:
        raise InvalidInputError(
            f"golden file {relative!r} of {artifact.name!r} is not among its files; publish the model again"
        )
    try:
        array: NDArray[Any] = np.load(folder / relative, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise InvalidInputError(f"{folder / relative} is not an array: {error}; publish the model again") from error
    return array


def _warm_up(predict: Predict, config: ServedConfig) -> None:
    """The smallest and the largest batch, so that the first client pays for neither memory nor tracing."""
    for images in dict.fromkeys((1, config.policy.max_batch)):
        predict(np.zeros((images, *config.shape), np.uint8))
