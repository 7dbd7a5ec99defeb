"""Turns the results of an experiment into its Summary."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from core.schemas.attribution import Attribution
from core.schemas.results import (
    EvaluateResult,
    LoadTestResult,
    PrepareResult,
    PublishedModel,
    QuantizeResult,
    TrainResult,
)
from core.schemas.specs import ReportSpec
from core.schemas.statistics import FrameworkTest
from core.schemas.summary import Arm, Classification, Export, Group, Row, Summary, Training
from evaluator import (
    attribution,
    curves,
    evidence,
    losses,
    modes,
    paired,
    parity,
    provenance,
    splits,
    statistics,
)
from evaluator.claims import own
from evaluator.groups import arm_names, build_groups, ordered
from evaluator.loads import pool_repeats, saturation
from evaluator.paired import Predictions
from evaluator.provenance import Result
from evaluator.rows import NATIVE, Probabilities, build_rows, published_models, sound_predictions, traceable
from evaluator.verdict import decide


def summarise(
    spec: ReportSpec,
    results: Sequence[Result],
    probabilities: Probabilities,
    labels: NDArray[np.int64],
    others: Sequence[Result] = (),
) -> Summary:
    """Joins trainings, evaluations and load tests into one document.

    A result that cannot be used (no training behind it, predictions that do not fit) becomes a line of `missing`; the
    rest is reported. Equal inputs give equal summaries: there is no clock in it.

    Args:
        results: parsed `result.json` documents, in the order of the experiment.
        probabilities: float32 [n, classes] by run id of the evaluation.
        labels: int64 [n], true classes of the test split; empty where there is none.
        others: results of the same arms on another split.
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
    groups = build_groups(trainings, rows)
    added = _added(spec)
    framework_tests = statistics.framework_tests(groups, added)
    data = provenance.describe_data(next((r for r in results if isinstance(r, PrepareResult)), None))
    missing += provenance.untested(data)
    other_split = splits.compare(groups, data, others, missing)
    arms = _arms(trainings, groups, framework_tests)
    summary = Summary(
        experiment=spec.experiment,
        title=spec.title,
        description=spec.description,
        verdict=decide(rows),
        rows=rows,
        arms=arms,
        groups=groups,
        trainings=tuple(_training(training) for training in ordered(trainings)),
        exports=tuple(_export(training, model) for training in ordered(trainings) for model in training.models),
        classifications=classifications,
        loads=loads,
        saturation=saturation(loads),
        attribution=_attribution(spec, groups),
        search=spec.search,
        other_split=other_split,
        step_seconds=provenance.step_seconds((*results, *others)),
        framework_tests=framework_tests,
        defaults=modes.compare([arm for arm in arms if arm.name not in added], groups, framework_tests),
        agreement=paired.agreement(representatives, answers, labels),
        disagreements=tuple(evidence.disagreements(rows, answers, labels, classes)),
        parities=parity.pairs(rows, answers),
        data=data,
        places=provenance.places((*results, *others)),
        notes=tuple(provenance.notes(results, rows, data)),
        missing=tuple(missing),
        spec_json=spec.spec_json,
    )
    return summary.model_copy(update={"claims": own.lines(own.judged(summary))})


def _attribution(spec: ReportSpec, groups: Sequence[Group]) -> Attribution | None:
    plan = attribution.planned(spec.spec_json)
    return attribution.attribute(plan, groups) if plan else None


def _added(spec: ReportSpec) -> frozenset[str]:
    """The arms that an attribution adds, whose defaults are between the two modes."""
    plan = attribution.planned(spec.spec_json)
    return frozenset((*plan.steps, *plan.singles) if plan else ())


def _arms(trainings: Sequence[TrainResult], groups: Sequence[Group], tests: Sequence[FrameworkTest]) -> tuple[Arm, ...]:
    arms = []
    for name in arm_names(trainings):
        members = [training for training in trainings if training.spec.arm == name]
        own = [group for group in groups if group.arm == name]
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
                between_frameworks=statistics.between_frameworks(own),
                between_seeds=statistics.between_seeds(own),
                finding=statistics.finding(own, [one for one in tests if one.arm == name]),
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
