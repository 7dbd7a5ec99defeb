"""Exports a fitted model, checks every artefact against the model in memory, and publishes it."""

import shutil
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core import environment, runtimes
from core.errors import BakeoffError
from core.formats import get_format
from core.prepared import PreparedData
from core.repository import ModelRepository
from core.schemas.artifact import Artifact, ArtifactFile, Golden, OnnxFacts
from core.schemas.metrics import Parity
from core.schemas.results import PublishedModel
from core.schemas.specs import TrainSpec
from core.worker import RunFolder
from trainer.framework import Framework
from trainer.frameworks._onnx import read_facts
from trainer.training import Trained

CHECK_IMAGES = 256
TOLERANCE = 1e-4
"""Largest difference of probabilities between artefact and memory before publication is refused."""


class Publisher:
    """Publishes the formats of one training."""

    def __init__(
        self, framework: Framework, spec: TrainSpec, data: PreparedData, trained: Trained, threads: int
    ) -> None:
        self._framework, self._spec, self._data, self._trained = framework, spec, data, trained
        self._threads = threads
        self._images = np.ascontiguousarray(data.split("test").images[:CHECK_IMAGES])
        self._expected = np.asarray(framework.predict(trained.model, self._images), np.float32)

    def publish(self, repository: ModelRepository, format_name: str, run: RunFolder) -> PublishedModel:
        """Exports one format into the next version of its model; what an earlier attempt published stays.

        Raises:
            BakeoffError: the artefact, loaded again, does not give the model's probabilities.
        """
        name = self._spec.model_name(format_name)
        start = time.perf_counter()
        if (version := repository.version_of_run(name, run.run_id)) is not None:
            artifact = repository.verify(name, version)
            parity = self._check(format_name, repository.model_path(name, version))
            return self._published(artifact, parity, time.perf_counter() - start)
        with repository.staging() as staged:
            self._framework.export(self._trained.model, format_name, staged)
            seconds = time.perf_counter() - start
            path = staged / get_format(format_name).path
            parity = self._check(format_name, path)
            golden = self._write_golden(staged)
            facts = read_facts(path) if format_name == "onnx" else None

            def describe(version: int, files: tuple[ArtifactFile, ...]) -> Artifact:
                return self._describe(run, name, version, format_name, golden, files, facts)

            artifact = repository.publish(staged, describe, name)
        return self._published(artifact, parity, seconds)

    def _check(self, format_name: str, path: Path) -> Parity:
        predict = runtimes.load(format_name, path, self._threads)
        # In two calls of different size: an export that fixed the batch dimension fails here.
        actual = (
            np.concatenate([predict(self._images[:1]), predict(self._images[1:])])
            if len(self._images) > 1
            else predict(self._images)
        )
        parity = compare(self._expected, actual)
        if not parity.largest_difference <= TOLERANCE:
            raise BakeoffError(
                f"{self._spec.model_name(format_name)}: the exported model differs from the one in memory by "
                f"{parity.largest_difference:.2g}, more than {TOLERANCE:g}; it is not published"
            )
        return parity

    def _write_golden(self, staged: Path) -> Golden:
        folder = staged / "golden"
        folder.mkdir()
        encoded = self._data.golden_files()
        rows = self._data.split("test").images[list(self._data.manifest.golden_indices)]
        for path in encoded:
            shutil.copyfile(path, folder / path.name)
        golden = Golden(files=tuple(f"golden/{path.name}" for path in encoded))
        np.save(staged / golden.images, rows)
        np.save(
            staged / golden.probabilities, np.asarray(self._framework.predict(self._trained.model, rows), np.float32)
        )
        return golden

    def _describe(
        self,
        run: RunFolder,
        name: str,
        version: int,
        format_name: str,
        golden: Golden,
        files: tuple[ArtifactFile, ...],
        facts: OnnxFacts | None,
    ) -> Artifact:
        spec, manifest, architecture = self._spec, self._data.manifest, self._trained.architecture
        return Artifact.model_validate(
            {
                "name": name,
                "version": version,
                "format": format_name,
                "framework": spec.framework,
                "libraries": environment.versions(),
                "experiment": spec.experiment,
                "arm": spec.arm,
                "seed": spec.seed,
                "run_id": run.run_id,
                "architecture": spec.architecture,
                "parameters": architecture.count(trainable=True) + architecture.count(trainable=False),
                "trainable_parameters": architecture.count(trainable=True),
                "classes": manifest.classes,
                "preprocess": manifest.spec.image,
                "data_fingerprint": spec.data,
                "recipe": spec.recipe,
                "metrics": self._trained.exported,
                "onnx": facts,
                "golden": golden,
                "files": files,
            }
        )

    def _published(self, artifact: Artifact, parity: Parity, seconds: float) -> PublishedModel:
        return PublishedModel(
            name=artifact.name,
            version=artifact.version,
            format=artifact.format,
            artifact=artifact.digest,
            size_bytes=artifact.size_bytes,
            export_seconds=seconds,
            parity=parity,
        )


def compare(expected: NDArray[np.float32], actual: NDArray[np.float32]) -> Parity:
    """Differences of two probability arrays [n, classes]."""
    difference = np.abs(expected.astype(np.float64) - actual)
    return Parity(
        largest_difference=float(difference.max()),
        mean_difference=float(difference.mean()),
        disagreements=int((expected.argmax(1) != actual.argmax(1)).sum()),
        images=len(expected),
    )
