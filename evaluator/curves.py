"""ROC and precision-recall curves as few points as a chart needs."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics as sk

from core.schemas.scores import Curve
from evaluator.scores import measurable, normalised

POINTS = 101
# Good classifiers bend near a corner: that is where the points lie close together.
NEAR_ZERO: NDArray[np.float64] = np.linspace(0, 1, POINTS) ** 2
NEAR_ONE: NDArray[np.float64] = 1 - NEAR_ZERO[::-1]

OneCurve = Callable[[NDArray[np.bool_], NDArray[np.float64]], NDArray[np.float64]]


def roc(labels: NDArray[np.int64], probabilities: NDArray[np.float32]) -> Curve | None:
    """True positive rate over false positive rate.

    With two classes the curve of the second; with more the mean, at equal false positive rates, of the curves of each
    class against the rest. None where no class has a curve.

    Args:
        labels: int64 [n].
        probabilities: float32 [n, classes].
    """
    return _mean_curve(labels, probabilities, NEAR_ZERO, _true_positive_rate)


def precision_recall(labels: NDArray[np.int64], probabilities: NDArray[np.float32]) -> Curve | None:
    """Precision over recall, as a staircase: no straight lines between points, which would flatter (Davis and Goadrich,
    2006). Averaged as in `roc`, at equal recall."""
    return _mean_curve(labels, probabilities, NEAR_ONE, _precision)


def _mean_curve(
    labels: NDArray[np.int64], probabilities: NDArray[np.float32], grid: NDArray[np.float64], curve: OneCurve
) -> Curve | None:
    rows = normalised(probabilities)
    classes = [1] if rows.shape[1] == 2 else list(range(rows.shape[1]))
    found = [curve(labels == index, rows[:, index]) for index in classes if measurable(labels == index)]
    if not found:
        return None
    y = np.mean(found, axis=0)
    return Curve(x=tuple(map(float, grid)), y=tuple(map(float, y)))


def _true_positive_rate(positive: NDArray[np.bool_], score: NDArray[np.float64]) -> NDArray[np.float64]:
    x, y, _ = sk.roc_curve(positive, score)
    return np.asarray(np.interp(NEAR_ZERO, x, y))


def _precision(positive: NDArray[np.bool_], score: NDArray[np.float64]) -> NDArray[np.float64]:
    precision, recall, _ = sk.precision_recall_curve(positive, score)
    # Recall falls along the arrays: turned round, the first point that reaches a recall is the step it lies on.
    place = np.searchsorted(recall[::-1], NEAR_ONE, side="left")
    return np.asarray(precision[::-1][place])
