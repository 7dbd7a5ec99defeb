"""Turns the results of an experiment into its Summary."""

import json
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from core.schemas.attribution import Attribution, AttributionPlan
from core.schemas.results import (
    EvaluateResult,
    LoadTestResult,
    PrepareResult,
    PublishedModel,
    QuantizeResult,
    TrainResult,
)
from core.schemas.specs import FRAMEWORKS, ReportSpec
from core.schemas.summary import Arm, Classification, Export, Group, Row, SeedAccuracy, Summary, Training
from evaluator import attribution, curves, evidence, losses, paired, parity, provenance, statistics
from evaluator.loads import pool_repeats, saturation
from evaluator.paired import Predictions
from evaluator.provenance import Result
from evaluator.rows import NATIVE, Probabilities, build_rows, published_models, sound_predictions, traceable
from evaluator.verdict import decide


def summarise(
    spec: ReportSpec, results: Sequence[Result], probabilities: Probabilities, labels: NDArray[np.int64]
) -> Summary:
    """Joins trainings, evaluations and load tests into one document.

    A result that cannot be used (no training behind it, predictions that do not fit) becomes a line of `missing`; the
    rest is reported. Equal inputs give equal summaries: there is no clock in it.

    Args:
        results: parsed `result.json` documents, in the order of the experiment.
        probabilities: float32 [n, classes] by run id of the evaluation.
        labels: int64 [n], true classes of the test split; empty where there is none.
    """
    trainings = [result for result in results if isinstance(result, TrainResult)]
    missing = list(spec.missing)
    quantized = [result for result in results if isinstance(result, QuantizeResult)]
    published = published_models(trainings, quantized, missing)
    evaluations = traceable((r for r in results if isinstance(r, EvaluateResult)), published, missing)
    measured = traceable((r for r in results if isinstance(r, LoadTestResult)), published, missing)
    loads = pool_repeats(measured)
    predictions = sound_predictions(evaluations, probabilities, labels, missing)
    classes = tuple(one.name for one in evaluations[0].classes) if evaluations else ()
    rows = build_rows(published, evaluations, loads, predictions, quantized)
    answers = evidence.row_predictions(rows, evaluations, predictions)
    rows = evidence.add_evidence(rows, answers, labels, classes)
    classifications = _classifications(rows, evaluations, answers, labels)
    representatives = [one.row for one in classifications if one.representative and one.row is not None]
    groups = _groups(trainings, rows)
    data = provenance.describe_data(next((r for r in results if isinstance(r, PrepareResult)), None))
    missing += provenance.untested(data)
    return Summary(
        experiment=spec.experiment,
        title=spec.title,
        description=spec.description,
        verdict=decide(rows),
        rows=rows,
        arms=_arms(trainings, groups),
        groups=groups,
        trainings=tuple(_training(training) for training in _ordered(trainings)),
        exports=tuple(_export(training, model) for training in _ordered(trainings) for model in training.models),
        classifications=classifications,
        loads=loads,
        saturation=saturation(loads),
        attribution=_attribution(spec, groups),
        search=spec.search,
        framework_tests=statistics.framework_tests(groups),
        agreement=paired.agreement(representatives, answers, labels),
        disagreements=tuple(evidence.disagreements(rows, answers, labels, classes)),
        parities=parity.pairs(rows, answers),
        data=data,
        places=provenance.places(results),
        notes=tuple(provenance.notes(results, rows, data)),
        missing=tuple(missing),
        spec_json=spec.spec_json,
    )


def _attribution(spec: ReportSpec, groups: Sequence[Group]) -> Attribution | None:
    plan = json.loads(spec.spec_json).get("attribution")
    return attribution.attribute(AttributionPlan.model_validate(plan), groups) if plan else None


def _arm_names(trainings: Sequence[TrainResult]) -> list[str]:
    return list(dict.fromkeys(training.spec.arm for training in trainings))


def _ordered(trainings: Sequence[TrainResult]) -> list[TrainResult]:
    arms = _arm_names(trainings)
    return sorted(trainings, key=lambda t: (arms.index(t.spec.arm), FRAMEWORKS.index(t.spec.framework), t.spec.seed))


def _groups(trainings: Sequence[TrainResult], rows: Sequence[Row]) -> tuple[Group, ...]:
    """One group for each arm and framework that was trained, in the order of the experiment."""
    keys = dict.fromkeys((t.spec.arm, t.spec.framework) for t in _ordered(trainings))
    groups = []
    for arm, framework in keys:
        members = [t for t in trainings if (t.spec.arm, t.spec.framework) == (arm, framework)]
        seeds = _seed_accuracies(row for row in rows if (row.arm, row.framework) == (arm, framework))
        alone = [sum(e.train_seconds for e in t.history) for t in members if not t.environment.contended]
        groups.append(
            Group(
                arm=arm,
                mode=members[0].spec.recipe.mode,
                framework=framework,
                seeds=seeds,
                accuracy=statistics.spread([seed.accuracy for seed in seeds]),
                training_seconds=statistics.spread(alone),
            )
        )
    return tuple(groups)


def _seed_accuracies(rows: Iterable[Row]) -> tuple[SeedAccuracy, ...]:
    found = {
        row.seed: SeedAccuracy(seed=row.seed, accuracy=row.accuracy, interval=row.accuracy_interval)
        for row in rows
        if row.format == "onnx" and not row.variant and row.accuracy is not None and row.accuracy_interval is not None
    }
    return tuple(found[seed] for seed in sorted(found))


def _arms(trainings: Sequence[TrainResult], groups: Sequence[Group]) -> tuple[Arm, ...]:
    arms = []
    for name in _arm_names(trainings):
        members = [training for training in trainings if training.spec.arm == name]
        own = [group for group in groups if group.arm == name]
        apart, repeat = statistics.between_frameworks(own), statistics.between_seeds(own)
        first = members[0]
        recipe = first.spec.recipe
        if len({member.spec.recipe.batch_size for member in members}) > 1:  # each framework's own
            recipe = recipe.model_copy(update={"batch_size": None})
        arms.append(
            Arm(
                name=name,
                mode=first.spec.recipe.mode,
                architecture=first.spec.architecture,
                parameters=first.parameters,
                trainable_parameters=first.trainable_parameters,
                recipe=recipe,
                frameworks=tuple(group.framework for group in own),
                seeds=tuple(sorted({member.spec.seed for member in members})),
                between_frameworks=apart,
                between_seeds=repeat,
                finding=statistics.finding(apart, repeat),
            )
        )
    return tuple(arms)


def _training(result: TrainResult) -> Training:
    return Training(
        run_id=result.run_id,
        arm=result.spec.arm,
        framework=result.spec.framework,
        seed=result.spec.seed,
        history=result.history,
        seconds=result.seconds,
        images_per_second=result.images_per_second,
        peak_memory_bytes=result.peak_memory_bytes,
        attempts=result.attempts,
        contended=result.environment.contended,
    )


def _export(training: TrainResult, model: PublishedModel) -> Export:
    return Export(
        arm=training.spec.arm,
        framework=training.spec.framework,
        seed=training.spec.seed,
        format=model.format,
        model=model.name,
        version=model.version,
        artifact=model.artifact,
        size_bytes=model.size_bytes,
        export_seconds=model.export_seconds,
        parity=model.parity,
    )


def _classifications(
    rows: Sequence[Row], evaluations: Sequence[EvaluateResult], answers: Predictions, labels: NDArray[np.int64]
) -> tuple[Classification, ...]:
    """One for each artefact of the first seed that an arm and framework were scored with.

    The first of each arm and framework represents them: its ONNX, or what was scored where there is no ONNX.
    """
    results = {(e.spec.model, e.spec.version, e.spec.runtime): e for e in reversed(evaluations)}
    groups: dict[tuple[str, str], list[int]] = {}
    for index, row in enumerate(rows):
        if row.accuracy is not None:
            groups.setdefault((row.arm, row.framework), []).append(index)
    found = []
    for group in groups.values():
        first, *others = sorted(group, key=lambda index: _preference(rows[index]))
        seed = rows[first].seed
        for index in (first, *sorted(index for index in others if rows[index].seed == seed)):
            row = rows[index]
            result = results[row.model, row.version, row.runtime]
            found.append(_classification(index, row, result, answers, labels, index == first))
    return tuple(found)


def _preference(row: Row) -> tuple[bool, bool, int, bool]:
    return row.variant, row.format != "onnx", row.seed, row.format != NATIVE[row.framework]


def _classification(
    index: int,
    row: Row,
    result: EvaluateResult,
    answers: Predictions,
    labels: NDArray[np.int64],
    representative: bool,
) -> Classification:
    found = answers.get(index)
    return Classification(
        row=index,
        representative=representative,
        roc=None if found is None else curves.roc(labels, found),
        precision_recall=None if found is None else curves.precision_recall(labels, found),
        losses=() if found is None else losses.top_losses(labels, found, [one.name for one in result.classes]),
        arm=row.arm,
        framework=row.framework,
        seed=row.seed,
        format=row.format,
        runtime=row.runtime,
        precision=row.precision,
        images=result.images,
        classes=result.classes,
        macro=result.macro,
        weighted=result.weighted,
        confusion=result.confusion,
    )
