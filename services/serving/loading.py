"""Brings one version of a model from disk to a predictor that has proved itself. Runs in a thread."""

import functools
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
from core.repository import ModelRepository
from core.schemas.artifact import Artifact
from services.serving.compute import Predict
from services.serving.config import ServedConfig, read_config
from services.serving.settings import ServingSettings
from services.serving.trust import check_trust
from services.serving.tuned import TuningCache

log = logging.getLogger(__name__)
ONE_POOL = ("tensorflow",)
"""Runtimes whose threads belong to the process and serve all callers together."""
EXTRA_TOLERANCE = {"openvino-bf16": 0.05}
"""A bfloat16 has eight bits of mantissa: probabilities differ, as they are meant to. Evaluation tells what it costs."""
LoadRuntime = Callable[[str, Path, int], Predict]
"""Format name, path and threads to a predictor."""


@dataclass(frozen=True)
class LoadedModel:
    """A version that reproduced its golden cases and is warm."""

    artifact: Artifact
    config: ServedConfig
    predict: Predict
    tuned: bool = False
    """Whether `config` follows what was measured on this machine."""


class Loader:
    """Loads versions of the models of one repository with one runtime."""

    def __init__(
        self, repository: ModelRepository, settings: ServingSettings, runtime: LoadRuntime | None = None
    ) -> None:
        self._repository, self._settings = repository, settings
        self._runtime = runtime or functools.partial(runtimes.load, runtime=settings.runtime, device=settings.device)
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
        self._check_name(self._repository.artifact(name, version), name, version)
        self._check_runtime(self._repository.artifact(name, version))
        artifact = self._repository.verify(name, version)
        path = self._repository.model_path(name, version)
        check_trust(artifact.format, path, self._settings.trust_repository)
        tuned = self._tuning.find(artifact.digest)
        choice = tuned.choice if tuned else None
        config = read_config(artifact, self._repository.root / name / "config.pbtxt", self._settings, choice)
        predict = self._runtime(artifact.format, path, self.threads(config))
        more = EXTRA_TOLERANCE.get(self._settings.runtime, 0.0)
        check_golden(artifact, self._repository.path(name, version), predict, more)
        _warm_up(predict, config)
        how = f"{config.policy.instances} × {config.threads} threads, batches up to {config.policy.max_batch}"
        log.info(
            "model %s version %d (%s) is ready: %s%s", name, version, artifact.format, how, ", tuned" * bool(tuned)
        )
        return LoadedModel(artifact, config, predict, bool(tuned))

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
