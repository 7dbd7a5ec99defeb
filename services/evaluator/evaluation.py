"""An evaluate run: asks the server, keeps every prediction, writes the result."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core import environment, worker
from core.errors import BakeoffError, CancelledError, WrongStateError
from core.prepared import PreparedData, open_prepared
from core.schemas.results import EvaluateResult, EvaluateServedResult, Scored
from core.schemas.specs import EvaluateServedSpec, EvaluateSpec
from core.store import Store
from core.worker import RunFolder
from evaluator import predictions, scoring
from evaluator.journal import Journal
from evaluator.passes import Pass, judge, passes
from evaluator.predictions import About
from services.client.checks import NOT_TOLD, check_artifact, check_tensors
from services.client.inference import InferenceClient
from services.client.security import from_environment

CALL_TIMEOUT_S = 120.0
AnyEvaluation = EvaluateSpec | EvaluateServedSpec


@dataclass(frozen=True)
class Server:
    """Where the model is served, and how hard it may be asked."""

    target: str
    in_flight: int
    """Requests under way at a time."""
    threads: int
    """Recorded in the result."""


def evaluate(run: RunFolder, spec: AnyEvaluation, store: Store, server: Server) -> None:
    """Scores the model that is served at the server's address and keeps every prediction."""
    data = open_prepared(store, spec.data)
    wanted = passes(spec, data.manifest.images("validation") if "validation" in data.manifest.counts else 0)
    start = time.perf_counter()
    # Whoever asked chose the other address: what opens our own servers does not go there.
    security = from_environment() if isinstance(spec, EvaluateSpec) else from_environment().anonymous()
    with InferenceClient(server.target, timeout_s=CALL_TIMEOUT_S, security=security) as client:
        metadata = client.model_metadata(spec.model, spec.version)
        label = spec.model if spec.version is None else f"{spec.model} version {spec.version}"
        check_tensors(metadata, label, data.manifest.spec.image.shape, len(data.manifest.classes))
        check_classes(client, spec, data)
        if isinstance(spec, EvaluateSpec):
            check_artifact(client, spec.model, spec.version, spec.artifact)
        found = {one: _score(run, one, spec, data, client, server.in_flight) for one in wanted}
    labels = {one.split: data.split(one.split).labels for one in wanted}
    result = _result(
        spec,
        run_id=run.run_id,
        seconds=time.perf_counter() - start,
        environment=environment.describe(server.threads),
        **judge(labels, found, data.manifest.classes),
    )
    run.finish(result)
    with object_folder(run) as folder:
        for one in wanted:
            _keep(run, one, spec, data, folder)
        shutil.copyfile(run.path / worker.RESULT, folder / worker.RESULT)
        store.put("results", run.run_id, folder)
    shutil.rmtree(run.path / worker.CHECKPOINTS)


def _result(spec: AnyEvaluation, **fields: Any) -> Scored:
    if isinstance(spec, EvaluateSpec):
        return EvaluateResult(spec=spec, **fields)
    return EvaluateServedResult(spec=spec, **fields)


@contextmanager
def object_folder(run: RunFolder) -> Iterator[Path]:
    """An empty folder for the result object, gone afterwards; what a killed attempt left in it is gone before."""
    folder = run.path / "object"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


def check_classes(client: InferenceClient, spec: AnyEvaluation, data: PreparedData) -> None:
    """Refuses a served model whose classes are others than the data's, more or fewer, or in another order.

    A server that does not tell, for example another product's, is taken at its word.

    Raises:
        WrongStateError: naming the first class that differs, or how many there are on either side.
    """
    try:
        served = client.preprocess_spec(spec.model, spec.version).classes
    except NOT_TOLD:
        return
    expected = data.manifest.classes
    # An empty list is none; check_tensors does not see another number where the server leaves the dimension free.
    if served and len(served) != len(expected):
        raise WrongStateError(
            f"model {spec.model}: the server lists {len(served)} classes, expected the {len(expected)} of the data "
            f"{data.fingerprint[:12]}…; evaluate it on the data it was trained for"
        )
    for place, (theirs, ours) in enumerate(zip(served, expected, strict=False)):
        if theirs != ours:
            raise WrongStateError(
                f"model {spec.model}: class {place} is {theirs!r}, in the data {data.fingerprint[:12]}… it is "
                f"{ours!r}; evaluate it on the data it was trained for"
            )


def _score(
    run: RunFolder, one: Pass, spec: AnyEvaluation, data: PreparedData, client: InferenceClient, in_flight: int
) -> NDArray[np.float32]:
    """One pass, from where an earlier attempt came to."""
    journal = _journal(run, one, data)
    split = data.split(one.split)
    if len(journal):
        run.log("info", f"{one.name}: {len(journal):,} of {len(split):,} images are there from an earlier attempt")
    try:
        return scoring.score(
            lambda images: client.predict(spec.model, images, spec.version).probabilities,
            split,
            journal,
            spec.batch_size,
            lambda done, total: run.progress(f"score {one.name}", done, total, "images"),
            in_flight,
            one.change,
        )
    except CancelledError:
        raise
    except BakeoffError as error:
        raise BakeoffError(
            f"{error}. Scored until then: {len(journal):,} of {len(split):,} images ({one.name}); they are kept, and "
            "it can go on from there"
        ) from error


def _keep(run: RunFolder, one: Pass, spec: AnyEvaluation, data: PreparedData, folder: Path) -> None:
    split = data.split(one.split)
    about = About(
        model=spec.model,
        version=spec.version or 0,
        artifact=spec.artifact if isinstance(spec, EvaluateSpec) else "",
        data=spec.data,
        split=one.split,
        classes=data.manifest.classes,
        corruption=one.corruption or "",
        severity=one.severity,
    )
    path = folder / predictions.FOLDER / f"{one.name}.parquet"
    rows = _journal(run, one, data).rows(len(split))
    predictions.write(path, rows, split.labels, data.items(one.split), about)


def _journal(run: RunFolder, one: Pass, data: PreparedData) -> Journal:
    return Journal(run.path / worker.CHECKPOINTS / f"{one.name}.rows", len(data.manifest.classes))
