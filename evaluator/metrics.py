"""Classification metrics of one artefact, by scikit-learn and scipy."""

from collections.abc import Sequence
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics as sk

from core.errors import InvalidInputError
from core.schemas.results import ClassMetrics
from core.schemas.scores import Scores
from evaluator.checks import check_probabilities
from evaluator.intervals import wilson
from evaluator.scores import compute_scores, normalised

VERSION = 1
"""Raised when a figure gets another definition: reports then compute it anew from the kept predictions."""


class Metrics(TypedDict):
    """The fields of EvaluateResult that follow from labels and probabilities: `EvaluateResult(..., **metrics)`."""

    metrics_version: int
    images: int
    accuracy: float
    accuracy_interval: tuple[float, float]
    log_loss: float
    classes: tuple[ClassMetrics, ...]
    macro: ClassMetrics
    weighted: ClassMetrics
    confusion: tuple[tuple[int, ...], ...]
    scores: Scores


def compute(labels: NDArray[np.int64], probabilities: NDArray[np.float32], classes: Sequence[str]) -> Metrics:
    """Scores predictions; the prediction is the most probable class, the first of equals.

    Args:
        labels: int64 [n], true classes.
        probabilities: float32 [n, classes], rows summing to one.
        classes: names in the order of the columns.

    A class without test images has no precision, recall or F1, and no part in the macro average, as in scikit-learn's
    `labels=np.unique(labels)`: nothing was measured of it, which is not the same as zero. A class with images of which
    none was predicted has precision zero.

    Raises:
        InvalidInputError: no images, shapes that do not fit, labels out of range, or no probabilities.
    """
    check(labels, probabilities, classes)
    predicted = probabilities.argmax(axis=1)
    correct = int((predicted == labels).sum())
    indices = list(range(len(classes)))
    present = np.unique(labels).tolist()
    per_class = sk.precision_recall_fscore_support(labels, predicted, labels=indices, zero_division=0)
    return Metrics(
        metrics_version=VERSION,
        images=len(labels),
        accuracy=correct / len(labels),
        accuracy_interval=wilson(correct, len(labels)),
        log_loss=log_loss(labels, probabilities),
        classes=tuple(_row(name, *values) for name, *values in zip(classes, *per_class, strict=True)),
        macro=_average("macro", labels, predicted, present),
        weighted=_average("weighted", labels, predicted, present),
        confusion=tuple(tuple(map(int, row)) for row in sk.confusion_matrix(labels, predicted, labels=indices)),
        scores=compute_scores(labels, probabilities, classes),
    )


def log_loss(labels: NDArray[np.int64], probabilities: NDArray[np.float32]) -> float:
    """Mean of −ln p(true class) in nats. Rows are normalised first; p is clipped at float32's resolution, 1.2e-7."""
    rows = normalised(probabilities).astype(np.float32)
    return float(sk.log_loss(labels, rows, labels=list(range(probabilities.shape[1]))))


def check(labels: NDArray[np.int64], probabilities: NDArray[np.float32], classes: Sequence[str]) -> None:
    """Refuses what cannot be scored, as `compute` does."""
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise InvalidInputError(f"labels are {labels.dtype} {list(labels.shape)}, expected int64 [images]")
    if not len(labels):
        raise InvalidInputError(
            "the split has no images: there is nothing to score; prepare the data with another split"
        )
    if probabilities.shape != (len(labels), len(classes)):
        raise InvalidInputError(
            f"probabilities have shape {list(probabilities.shape)}, expected {[len(labels), len(classes)]}: one row "
            "for each label, one column for each class; was the model trained on this data?"
        )
    check_probabilities(probabilities)
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= len(classes):
        raise InvalidInputError(
            f"label {low if low < 0 else high} is out of range, expected 0 to {len(classes) - 1}; prepare the data "
            "again"
        )


def _average(kind: str, labels: NDArray[np.int64], predicted: NDArray[np.intp], indices: list[int]) -> ClassMetrics:
    precision, recall, f1, _ = sk.precision_recall_fscore_support(
        labels, predicted, labels=indices, average=kind, zero_division=0
    )
    return _row(kind, precision, recall, f1, len(labels))


def _row(name: str, precision: float, recall: float, f1: float, support: int) -> ClassMetrics:
    if not support:
        return ClassMetrics(name=name, precision=None, recall=None, f1=None, support=0)
    return ClassMetrics(name=name, precision=float(precision), recall=float(recall), f1=float(f1), support=int(support))
