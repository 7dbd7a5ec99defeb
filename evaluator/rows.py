"""Joins evaluations and load tests with the trainings behind them: the rows of the verdict table."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from core.schemas.loads import Load, Saturation
from core.schemas.metrics import Parity
from core.schemas.results import EvaluateResult, LoadTestResult, PublishedModel, QuantizeResult, TrainResult
from core.schemas.specs import FRAMEWORKS, FormatName, Framework, Precision, RuntimeName
from core.schemas.summary import Row
from evaluator import loads as loads_of
from evaluator import parity, text

Probabilities = Mapping[str, NDArray[Any]]
"""Run id of an evaluation to its probabilities, [images, classes]."""
Published = dict[tuple[str, int], tuple[TrainResult, PublishedModel]]
"""Model name and version to where it came from."""
MeasuredT = TypeVar("MeasuredT", EvaluateResult, LoadTestResult)

NATIVE: dict[Framework, FormatName] = {"keras": "keras", "tensorflow": "savedmodel", "pytorch": "pt2", "fastai": "pt2"}
"""The format each framework's own documentation would save."""


def published_models(
    trainings: Sequence[TrainResult], quantized: Sequence[QuantizeResult] = (), missing: list[str] | None = None
) -> Published:
    """Every artefact of every training, and the int8 models made of them, by name and version.

    An int8 model of another artefact becomes a line of `missing`.
    """
    found = {(model.name, model.version): (training, model) for training in trainings for model in training.models}
    for result in quantized:
        origin = found.get((result.spec.model, result.spec.version))
        if origin and origin[1].artifact == result.spec.artifact:
            found[result.model.name, result.model.version] = (origin[0], result.model)
        elif missing is not None:
            missing.append(f"quantize {result.run_id}: {result.spec.model} has no such training result; left out")
    return found


def traceable(results: Iterable[MeasuredT], published: Published, missing: list[str]) -> list[MeasuredT]:
    """The results whose artefact a training of this experiment published; the others become lines of `missing`."""
    found = []
    for result in results:
        origin = published.get((result.spec.model, result.spec.version))
        if origin and origin[1].artifact == result.spec.artifact:
            found.append(result)
            continue
        problem = "has other bytes than were trained" if origin else "has no training result"
        missing.append(
            f"{result.kind} {result.run_id}: {result.spec.model} version {result.spec.version} {problem}; left out"
        )
    return found


def sound_predictions(
    evaluations: Sequence[EvaluateResult],
    probabilities: Probabilities,
    labels: NDArray[np.int64],
    missing: list[str],
) -> Probabilities:
    """Predictions that give the accuracy their result claims; absent and other ones become lines of `missing`."""
    sound = {}
    for evaluation in evaluations:
        problem = _problem(evaluation, probabilities.get(evaluation.run_id), labels)
        if problem:
            missing.append(
                f"evaluate {evaluation.run_id}: {problem}; {evaluation.spec.model} is not compared image by image"
            )
        else:
            sound[evaluation.run_id] = probabilities[evaluation.run_id]
    return sound


def build_rows(
    published: Published,
    evaluations: Sequence[EvaluateResult],
    loads: Sequence[Load],
    predictions: Probabilities,
    quantized: Sequence[QuantizeResult] = (),
) -> tuple[Row, ...]:
    """One row for each artefact and runtime that was scored or loaded.

    Sorted by arm, seed, framework, the native format first, variants of a format after it. Load tests with settings
    other than the first one's are not joined: they would not compare.
    """
    scored = {(e.spec.model, e.spec.version, e.spec.runtime): e for e in reversed(evaluations)}
    loaded = {
        (load.model, load.version, load.runtime): load for load in reversed(loads) if load.settings == loads[0].settings
    }
    curves = {(one.model, one.version, one.runtime): one for one in loads_of.saturation(loads)}
    # Of two evaluations of a native artefact the one its row shows, in the experiment's order.
    natives = _native_predictions(published, list(scored.values())[::-1], predictions)
    eight_bits = {(result.model.name, result.model.version) for result in quantized}
    arms = list(dict.fromkeys(training.spec.arm for training, _ in published.values()))
    rows = []
    for model, version, runtime in scored.keys() | loaded.keys():
        training, artefact = published[model, version]
        evaluation, load = scored.get((model, version, runtime)), loaded.get((model, version, runtime))
        curve = curves.get((model, version, runtime))
        row = Row(
            arm=training.spec.arm,
            mode=training.spec.recipe.mode,
            framework=training.spec.framework,
            format=artefact.format,
            runtime=runtime,
            precision=_precision((model, version) in eight_bits, runtime),
            seed=training.spec.seed,
            model=model,
            version=version,
            artifact=artefact.artifact,
            size_bytes=artefact.size_bytes,
            export_parity=artefact.parity,
            training_seconds=sum(epoch.train_seconds for epoch in training.history),
            images_per_second=training.images_per_second,
            training_contended=training.environment.contended,
            images=evaluation.images if evaluation else None,
            accuracy=evaluation.accuracy if evaluation else None,
            accuracy_interval=evaluation.accuracy_interval if evaluation else None,
            macro_f1=evaluation.macro.f1 if evaluation else None,
            log_loss=evaluation.log_loss if evaluation else None,
            classes=evaluation.classes if evaluation else (),
            scores=evaluation.scores if evaluation else None,
            operating=evaluation.operating if evaluation else None,
            robustness=evaluation.robustness if evaluation else (),
            parity=_parity(evaluation, natives.get(training.run_id), predictions),
            load=load,
            best_rate=_best_rate(curve),
        )
        rows.append(row)
    return tuple(sorted(rows, key=lambda row: _order(row, arms)))


def _best_rate(curve: Saturation | None) -> float | None:
    """0 where none of the rates held the bound: that is a measurement, and a bad one."""
    if curve is None or curve.bound_ms is None:
        return None
    return curve.best_rate or 0.0


def _precision(eight_bits: bool, runtime: RuntimeName) -> Precision:
    """An int8 model stays one in every runtime."""
    return "int8" if eight_bits else "bf16" if runtime == "openvino-bf16" else "fp32"


def _problem(evaluation: EvaluateResult, values: NDArray[Any] | None, labels: NDArray[np.int64]) -> str | None:
    if values is None:
        return "its predictions are not there"
    if values.shape != (evaluation.images, len(evaluation.classes)) or len(labels) != evaluation.images:
        return f"its predictions {list(values.shape)} do not fit {evaluation.images} images and {len(labels)} labels"
    accuracy = float((values.argmax(axis=1) == labels).mean())
    if abs(accuracy - evaluation.accuracy) > 0.5 / max(1, evaluation.images):
        claimed = text.percent(evaluation.accuracy)
        return f"its predictions give accuracy {text.percent(accuracy)}, its result says {claimed}"
    return None


def _native_predictions(
    published: Published, evaluations: Sequence[EvaluateResult], predictions: Probabilities
) -> dict[str, tuple[str, NDArray[Any]]]:
    """Training run id to model name and served probabilities of its native format."""
    natives = {}
    for evaluation in evaluations:
        training, artefact = published[evaluation.spec.model, evaluation.spec.version]
        if artefact.format == NATIVE[training.spec.framework] and evaluation.run_id in predictions:
            natives[training.run_id] = (evaluation.spec.model, predictions[evaluation.run_id])
    return natives


def _parity(
    evaluation: EvaluateResult | None, native: tuple[str, NDArray[Any]] | None, predictions: Probabilities
) -> Parity | None:
    if (
        evaluation is None
        or native is None
        or evaluation.run_id not in predictions
        or native[0] == evaluation.spec.model
    ):
        return None
    return parity.compare(native[1], predictions[evaluation.run_id])


def _order(row: Row, arms: list[str]) -> tuple[int, int, int, bool, str, bool, str, str]:
    native = row.format == NATIVE[row.framework]
    own = (not native, row.format, row.variant, row.runtime, row.precision)
    return arms.index(row.arm), row.seed, FRAMEWORKS.index(row.framework), *own
