"""Makes an int8 model of a published ONNX model: calibrated on training images, published as a model of its own."""

import shutil
import time

import numpy as np
import pydantic
from numpy.typing import NDArray

from core import environment, runtimes
from core.errors import InvalidInputError, WrongStateError
from core.formats import get_format
from core.prepared import PreparedData, Split, open_prepared
from core.repository import ModelRepository
from core.schemas.artifact import Artifact, ArtifactFile, Golden, Quantization
from core.schemas.base import Name
from core.schemas.metrics import Parity
from core.schemas.results import PublishedModel, QuantizeResult
from core.schemas.specs import QuantizeSpec
from core.store import Store
from core.worker import RunFolder
from trainer.frameworks._onnx import read_facts
from trainer.frameworks._onnx_quantization import quantize_static
from trainer.publishing import CHECK_IMAGES, compare
from trainer.random import generator

TOLERANCE = 0.05
"""Of the golden cases: runtimes and CPUs round eight-bit sums differently."""
NAME: pydantic.TypeAdapter[str] = pydantic.TypeAdapter(Name)
FORMAT = "onnx"


def check_quantization(spec: QuantizeSpec, repository: ModelRepository) -> Artifact:
    """The artefact to quantise.

    Raises:
        NotFoundError: no such model or version.
        NotReadyError: the repository is behind a URL that cannot be reached.
        WrongStateError: it is another artefact than the spec names.
        InvalidInputError: it is not an fp32 ONNX model, was trained on other data, or its new name would be too long.
    """
    repository.refresh(spec.model)
    source = repository.artifact(spec.model, spec.version)
    label = f"model {spec.model!r} version {spec.version}"
    if source.digest != spec.artifact:
        raise WrongStateError(
            f"{label} is artefact {source.digest[:12]}…, the run is for {spec.artifact[:12]}…; ask anew"
        )
    if source.format != FORMAT or source.precision != "fp32":
        raise InvalidInputError(
            f"{label} is {source.format} in {source.precision}; only fp32 ONNX models are quantised"
        )
    if source.data_fingerprint != spec.data:
        raise InvalidInputError(
            f"{label} was trained on data {source.data_fingerprint[:12]}…, not {spec.data[:12]}…; calibrate on its own"
        )
    try:
        NAME.validate_python(spec.target)
    except pydantic.ValidationError as error:
        raise InvalidInputError(
            f"the name {spec.target!r} is longer than 63 characters; rename the experiment"
        ) from error
    return source


def quantize(
    run: RunFolder, spec: QuantizeSpec, store: Store, repository: ModelRepository, threads: int
) -> QuantizeResult:
    """Quantises and publishes; what an earlier attempt of the run published stays.

    Raises:
        BakeoffError: as `check_quantization`, or the graph cannot be quantised.
    """
    source = check_quantization(spec, repository)
    repository.verify(spec.model, spec.version)
    data = open_prepared(store, spec.data)
    run.progress("quantize", 0, 1, "models")
    start = time.perf_counter()
    if (version := repository.version_of_run(spec.target, run.run_id)) is not None:
        artifact = repository.verify(spec.target, version)
    else:
        artifact = _publish(run, spec, source, data, repository, threads)
    run.progress("quantize", 1, 1, "models")
    assert artifact.quantization is not None
    published = PublishedModel(
        name=artifact.name,
        version=artifact.version,
        format=artifact.format,
        artifact=artifact.digest,
        size_bytes=artifact.size_bytes,
        export_seconds=time.perf_counter() - start,
        parity=artifact.quantization.parity,
    )
    return QuantizeResult(
        run_id=run.run_id,
        spec=spec,
        model=published,
        source_bytes=source.size_bytes,
        environment=environment.describe(threads),
    )


def calibration_images(train: Split, count: int, seed: int) -> NDArray[np.uint8]:
    """uint8 [min(count, n), height, width, channels]: training images drawn at random, in the order they are kept."""
    chosen = generator(seed, "calibration").permutation(len(train))[:count]
    return np.ascontiguousarray(train.images[np.sort(chosen)])


def _publish(
    run: RunFolder, spec: QuantizeSpec, source: Artifact, data: PreparedData, repository: ModelRepository, threads: int
) -> Artifact:
    original = repository.path(spec.model, spec.version)
    images = calibration_images(data.split("train"), spec.images, spec.seed)
    with repository.staging() as staged:
        path = staged / get_format(FORMAT).path
        quantize_static(original / path.name, path, images)
        before, after = (runtimes.load(FORMAT, file, threads) for file in (original / path.name, path))
        shutil.copytree(original / "golden", staged / "golden")
        np.save(staged / source.golden.probabilities, after(np.load(staged / source.golden.images)))
        quantization = Quantization(
            model=spec.model,
            version=spec.version,
            artifact=spec.artifact,
            images=len(images),
            seed=spec.seed,
            parity=_parity(data, before, after),
        )
        changed = {
            "name": spec.target,
            "precision": spec.precision,
            "run_id": run.run_id,
            "libraries": environment.versions(),
            "onnx": read_facts(path),
            "golden": Golden(files=source.golden.files, tolerance=TOLERANCE),
            "quantization": quantization,
            "origin": None,
            "operating": None,
        }

        def describe(version: int, files: tuple[ArtifactFile, ...]) -> Artifact:
            return source.model_copy(update={**changed, "version": version, "files": files})

        return repository.publish(staged, describe, spec.target)


def _parity(data: PreparedData, before: runtimes.Predictor, after: runtimes.Predictor) -> Parity:
    images = np.ascontiguousarray(data.split("test").images[:CHECK_IMAGES])
    return compare(before(images), after(images))
