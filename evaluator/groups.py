"""All seeds of one framework in one arm, together."""

from collections.abc import Iterable, Sequence

from core.schemas.results import TrainResult
from core.schemas.specs import FRAMEWORKS, Framework
from core.schemas.summary import Group, Row, SeedAccuracy, Training
from evaluator import statistics


def arm_names(trainings: Sequence[TrainResult]) -> list[str]:
    """Arms in the order of the experiment."""
    return list(dict.fromkeys(training.spec.arm for training in trainings))


def ordered(trainings: Sequence[TrainResult]) -> list[TrainResult]:
    """By arm, framework and seed."""
    arms = arm_names(trainings)
    return sorted(trainings, key=lambda t: (arms.index(t.spec.arm), FRAMEWORKS.index(t.spec.framework), t.spec.seed))


def by_framework(trainings: Iterable[Training]) -> dict[tuple[str, Framework], list[Training]]:
    """Arm and framework to its trainings, in the order given."""
    found: dict[tuple[str, Framework], list[Training]] = {}
    for training in trainings:
        found.setdefault((training.arm, training.framework), []).append(training)
    return found


def build_groups(trainings: Sequence[TrainResult], rows: Sequence[Row]) -> tuple[Group, ...]:
    """One group for each arm and framework that was trained, in the order of the experiment."""
    keys = dict.fromkeys((t.spec.arm, t.spec.framework) for t in ordered(trainings))
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
