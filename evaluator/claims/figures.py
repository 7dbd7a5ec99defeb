"""What a claim may be about, taken from a result: a figure for each seed."""

from collections.abc import Callable, Sequence

from core.schemas.study import Measure
from core.schemas.summary import Summary, Training

LAST_EPOCHS: dict[Measure, str] = {"train_accuracy": "training", "validation_accuracy": "validation"}
"""Measures of one epoch, the last."""

Figures = Callable[[Summary, Sequence[Training], str | None], dict[int, float]]
"""Of the trainings of one arm and framework, by seed; given the class that it is about, if any."""


def _accuracies(summary: Summary, trainings: Sequence[Training], _: str | None) -> dict[int, float]:
    keys = {(training.arm, training.framework) for training in trainings}
    groups = [group for group in summary.groups if (group.arm, group.framework) in keys]
    return {seed.seed: seed.accuracy for group in groups for seed in group.seeds}


def _recalls(summary: Summary, trainings: Sequence[Training], of_class: str | None) -> dict[int, float]:
    keys = {(training.arm, training.framework) for training in trainings}
    onnx = [row for row in summary.rows if row.format == "onnx" and not row.variant]
    rows = [row for row in onnx if (row.arm, row.framework) in keys]
    found = {row.seed: one.recall for row in rows for one in row.classes if one.name == of_class}
    return {seed: recall for seed, recall in found.items() if recall is not None}


def _last_epochs(figure: str) -> Figures:
    return lambda _, trainings, __: {t.seed: getattr(t.history[-1], figure) for t in trainings if t.history}


def _sums(*figures: str) -> Figures:
    return lambda _, trainings, __: {
        t.seed: sum(getattr(epoch, figure) for epoch in t.history for figure in figures) for t in trainings
    }


FIGURES: dict[Measure, Figures] = {
    "accuracy": _accuracies,
    "recall": _recalls,
    "train_accuracy": _last_epochs("train_accuracy"),
    "validation_accuracy": _last_epochs("validation_accuracy"),
    "training_seconds": _sums("train_seconds"),
    "fit_seconds": _sums("train_seconds", "validation_seconds"),
}
