"""A report run: reads what results there are, and writes the report over them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core import files
from core.errors import BakeoffError, WrongStateError
from core.prepared import PreparedData, open_prepared
from core.results import AnyResult, read_result
from core.schemas.results import EvaluateResult, PrepareResult, TrainResult
from core.schemas.specs import ReportSpec
from core.store import Store
from core.worker import RunFolder
from evaluator import metrics, predictions, report
from evaluator.passes import TEST, judge, passes
from evaluator.report.samples import samples_of
from services.evaluator.evaluation import object_folder

AUGMENTED = "augmented.png"
"""Beside a training's result: see trainer.samples."""
SPEC = "spec.json"
"""Beside the report: what it was made from, so that it can be made again."""


@dataclass(frozen=True)
class Material:
    """What one set of prepared data gave."""

    results: list[AnyResult]
    data: PreparedData
    probabilities: dict[str, NDArray[np.float32]]
    """Test probabilities float32 [n, classes] by evaluation."""


def write_report(run: RunFolder, spec: ReportSpec, store: Store) -> None:
    """Writes the report over the results there are."""
    run.progress("report", 0, 1, "reports")
    original = spec
    spec, own = read_material(store, spec, spec.results)
    if own is None:
        raise WrongStateError(f"the report of {spec.experiment} names no prepared data; run its prepare step first")
    spec, other = other_material(store, spec)
    samples = samples_of(own.data.split("train"), own.data.manifest.classes)
    with object_folder(run) as folder:
        grids = {one.run_id: grid for one in own.results if (grid := read_grid(store, one)) is not None}
        test, others = own.data.split("test"), other.results if other else ()
        summary = report.write(spec, own.results, own.probabilities, test, samples, folder, grids, others)
        files.write_json(folder / SPEC, original)
        run.finish(summary)
        store.put("results", run.run_id, folder)


def read_material(store: Store, spec: ReportSpec, ids: Sequence[str]) -> tuple[ReportSpec, Material | None]:
    """What can be read of results on one set of prepared data, and the spec with a line of `missing` for the rest.

    None where the preparation is not among what can be read.
    """
    spec, results = read_results(store, spec, ids)
    prepared = next((result for result in results if isinstance(result, PrepareResult)), None)
    if prepared is None:
        return spec, None
    data = open_prepared(store, prepared.fingerprint)
    spec, probabilities = read_predictions(store, spec, results)
    spec, results = recompute(store, spec, results, data, probabilities)
    return spec, Material(results, data, probabilities)


def other_material(store: Store, spec: ReportSpec) -> tuple[ReportSpec, Material | None]:
    """What there is of the other split: that its data is gone is no reason to withhold the report."""
    try:
        return read_material(store, spec, spec.other_split)
    except BakeoffError as error:
        return spec.model_copy(update={"missing": (*spec.missing, f"the other split: {error}")}), None


def read_results(store: Store, spec: ReportSpec, ids: Sequence[str]) -> tuple[ReportSpec, list[AnyResult]]:
    """The result documents that can be read, and the spec with a line of `missing` for each of the others."""
    results: list[AnyResult] = []
    unread: list[str] = []
    for result_id in ids:
        try:
            results.append(read_result(store, result_id))
        except BakeoffError as error:
            unread.append(str(error))
    return spec.model_copy(update={"missing": (*spec.missing, *unread)}), results


def read_grid(store: Store, result: AnyResult) -> bytes | None:
    """The picture of augmented samples kept beside a training, if there is one."""
    path = store.path("results", result.run_id) / AUGMENTED
    return path.read_bytes() if isinstance(result, TrainResult) and path.is_file() else None


def read_predictions(
    store: Store, spec: ReportSpec, results: list[AnyResult]
) -> tuple[ReportSpec, dict[str, NDArray[np.float32]]]:
    """Test probabilities float32 [n, classes] by evaluation, and a line of `missing` for each that cannot be read."""
    found: dict[str, NDArray[np.float32]] = {}
    unread: list[str] = []
    for result in results:
        if not isinstance(result, EvaluateResult):
            continue
        try:
            found[result.run_id] = predictions.read_result(store.path("results", result.run_id))
        except (BakeoffError, OSError) as error:
            unread.append(f"predictions of {result.spec.model}: {error}")
    return spec.model_copy(update={"missing": (*spec.missing, *unread)}), found


def recompute(
    store: Store,
    spec: ReportSpec,
    results: list[AnyResult],
    data: PreparedData,
    probabilities: Mapping[str, NDArray[np.float32]],
) -> tuple[ReportSpec, list[AnyResult]]:
    """The results with metrics computed anew where they have to be, and a line of `missing` for each that cannot.

    Such a result stays as it is: it is no reason to withhold the others.
    """
    found: list[AnyResult] = []
    kept: list[str] = []
    for result in results:
        try:
            found.append(recomputed(store, result, data, probabilities, bool(spec.remake)))
        # ValueError: what scikit-learn and numpy raise for predictions that nobody foresaw.
        except (BakeoffError, OSError, ValueError) as error:
            found.append(result)
            kept.append(f"{result.kind} {result.run_id}: its metrics could not be computed anew: {error}")
    return spec.model_copy(update={"missing": (*spec.missing, *kept)}), found


def recomputed(
    store: Store, result: AnyResult, data: PreparedData, probabilities: Mapping[str, NDArray[np.float32]], always: bool
) -> AnyResult:
    """The result with all metrics computed anew, where they follow an earlier definition or `always`.

    From the kept predictions; without them it stays as it is.

    Raises:
        InvalidInputError: kept predictions that are damaged or do not fit the data.
    """
    if not isinstance(result, EvaluateResult) or result.run_id not in probabilities:
        return result
    if result.metrics_version == metrics.VERSION and not always:
        return result
    folder = store.path("results", result.run_id) / predictions.FOLDER
    wanted = passes(result.spec, data.manifest.images("validation") if "validation" in data.manifest.counts else 0)
    kept = {one: folder / f"{one.name}.parquet" for one in wanted}
    found = {one: predictions.read(path) for one, path in kept.items() if one != TEST and path.is_file()}
    labels = {one.split: data.split(one.split).labels for one in (TEST, *found)}
    values = judge(labels, {TEST: probabilities[result.run_id], **found}, data.manifest.classes)
    return result.model_copy(update=values)
