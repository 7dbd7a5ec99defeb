"""Scores of probabilities: top-k, Brier, calibration, and the areas under ROC and precision-recall curves."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics as sk

from core.schemas.scores import Calibration, CalibrationBin, ClassAreas, Scores
from evaluator.intervals import wilson

TOP_K = (2, 3, 5)
BINS = 15
"""Bins of equal width for the calibration error, as in Guo et al., On Calibration of Modern Neural Networks, 2017."""


def compute_scores(labels: NDArray[np.int64], probabilities: NDArray[np.float32], classes: Sequence[str]) -> Scores:
    """Scores checked predictions.

    Args:
        labels: int64 [n], true classes, n at least 1.
        probabilities: float32 [n, classes], rows summing to one.
        classes: names in the order of the columns.
    """
    rows = normalised(probabilities)
    indices = list(range(len(classes)))
    areas = tuple(_class_areas(name, labels == index, rows[:, index]) for index, name in enumerate(classes))
    binary = len(classes) == 2
    averaged = areas[1:] if binary else areas
    return Scores(
        top_k={k: float(sk.top_k_accuracy_score(labels, rows, k=k, labels=indices)) for k in TOP_K if k < len(classes)},
        brier=float(sk.brier_score_loss(labels, rows, labels=indices, scale_by_half=True)),
        calibration=calibration(labels, rows),
        positive=classes[1] if binary else None,
        roc_auc=_mean([area.roc_auc for area in averaged]),
        average_precision=_mean([area.average_precision for area in averaged]),
        classes=areas,
    )


def normalised(probabilities: NDArray[np.float32]) -> NDArray[np.float64]:
    """Rows that sum to one exactly enough for scikit-learn, float64 [n, classes]; rounding below zero is cut off."""
    positive = np.clip(probabilities.astype(np.float64), 0, None)
    return np.asarray(positive / positive.sum(axis=1, keepdims=True))


def calibration(labels: NDArray[np.int64], probabilities: NDArray[np.float64], bins: int = BINS) -> Calibration:
    """Expected calibration error of the predicted class over `bins` bins of equal width (Naeini et al., 2015).

    Args:
        labels: int64 [n].
        probabilities: float64 [n, classes].
    """
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == labels
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    found = []
    for number in np.unique(place):
        inside = place == number
        images, right = int(inside.sum()), int(correct[inside].sum())
        found.append(
            CalibrationBin(
                low=float(number / bins),
                high=float((number + 1) / bins),
                images=images,
                confidence=float(confidence[inside].mean()),
                accuracy=right / images,
                interval=wilson(right, images),
            )
        )
    error = sum(one.images * abs(one.accuracy - one.confidence) for one in found) / len(labels)
    return Calibration(error=error, width=1 / bins, bins=tuple(found))


def measurable(positive: NDArray[np.bool_]) -> bool:
    """True where there are images of the class and others: without both there is no curve."""
    return bool(positive.any() and not positive.all())


def _class_areas(name: str, positive: NDArray[np.bool_], score: NDArray[np.float64]) -> ClassAreas:
    if not measurable(positive):
        return ClassAreas(name=name, roc_auc=None, average_precision=None)
    return ClassAreas(
        name=name,
        roc_auc=float(sk.roc_auc_score(positive, score)),
        average_precision=float(sk.average_precision_score(positive, score)),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
