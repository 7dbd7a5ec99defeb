"""Temperature and operating threshold: chosen on the validation split, judged on the test split.

Neither touches the graph: a server's probabilities stay what they are, and whoever uses them applies these afterwards.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from sklearn import metrics as sk

from core.schemas.scores import Operating, Rates, Temperature, Threshold
from evaluator.scores import calibration, measurable, normalised

HOTTEST = 20.0
"""Temperatures are looked for between 1 / HOTTEST and HOTTEST; a fit at an end says that there was no best one."""
SMALLEST = float(np.finfo(np.float32).eps)
"""Where probabilities are cut before their logarithm, as in the log loss."""

Labels = NDArray[np.int64]
Probabilities = NDArray[np.float32]


def choose(
    validation: tuple[Labels, Probabilities], test: tuple[Labels, Probabilities], classes: Sequence[str]
) -> Operating:
    """Fits on validation, reports on test. Each pair: labels int64 [n], checked probabilities float32 [n, classes]."""
    value = fit_temperature(*validation)
    labels, warm = test[0], tempered(test[1], value)
    indices = list(range(len(classes)))
    return Operating(
        images=len(validation[0]),
        temperature=Temperature(
            value=value,
            log_loss=-float(np.log(np.clip(warm[np.arange(len(labels)), labels], SMALLEST, 1)).mean()),
            brier=float(sk.brier_score_loss(labels, warm, labels=indices, scale_by_half=True)),
            calibration=calibration(labels, warm),
        ),
        threshold=_threshold(validation, test, classes) if len(classes) == 2 else None,
    )


def fit_temperature(labels: Labels, probabilities: Probabilities) -> float:
    """The T > 0 that minimises the log loss of softmax(ln p / T) (Guo et al., On Calibration of Modern Neural Networks,
    2017; logits and ln p differ by a constant for each row, which softmax does not see)."""
    logs = _logs(probabilities)
    rows = np.arange(len(labels))

    def loss(exponent: float) -> float:
        scaled = logs / np.exp(exponent)
        return float((np.logaddexp.reduce(scaled, axis=1) - scaled[rows, labels]).mean())

    end = float(np.log(HOTTEST))
    found = minimize_scalar(loss, bounds=(-end, end), method="bounded", options={"xatol": 1e-4})
    return float(np.exp(found.x))


def tempered(probabilities: Probabilities, temperature: float) -> NDArray[np.float64]:
    """softmax(ln p / T), float64 [n, classes]; the order of the classes in a row stays."""
    scaled = _logs(probabilities) / temperature
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def best_threshold(positive: NDArray[np.bool_], score: NDArray[np.float64]) -> float:
    """The threshold with the largest sensitivity + specificity − 1 (Youden, 1950); of equals the one nearest to 0.5.

    Halfway between the lowest score called positive and the highest called negative: a threshold on a score itself
    would turn with the next rounding. `positive` needs both values.
    """
    scores = np.unique(score)
    candidates = np.concatenate([[scores[0] / 2], (scores[1:] + scores[:-1]) / 2])
    negatives, positives = np.sort(score[~positive]), np.sort(score[positive])
    sensitivity = 1 - np.searchsorted(positives, candidates, side="left") / len(positives)
    specificity = np.searchsorted(negatives, candidates, side="left") / len(negatives)
    youden = sensitivity + specificity
    best = candidates[np.isclose(youden, youden.max(), rtol=0, atol=1e-12)]
    return float(best[np.argmin(np.abs(best - 0.5))])


def rates(positive: NDArray[np.bool_], called: NDArray[np.bool_]) -> Rates:
    """Shares of one decision; the precision of calling nothing positive is 0, as scikit-learn has it."""
    hits, misses = int((positive & called).sum()), int((positive & ~called).sum())
    alarms, rejections = int((~positive & called).sum()), int((~positive & ~called).sum())
    return Rates(
        accuracy=(hits + rejections) / len(positive),
        sensitivity=_share(hits, hits + misses),
        specificity=_share(rejections, rejections + alarms),
        precision=_share(hits, max(1, hits + alarms)) if positive.any() else None,
        f1=_share(2 * hits, 2 * hits + misses + alarms) if positive.any() else None,
    )


def _threshold(
    validation: tuple[Labels, Probabilities], test: tuple[Labels, Probabilities], classes: Sequence[str]
) -> Threshold | None:
    positive, score = validation[0] == 1, normalised(validation[1])[:, 1]
    if not measurable(positive):
        return None
    value = best_threshold(positive, score)
    truth, shown = test[0] == 1, normalised(test[1])[:, 1]
    return Threshold(
        positive=classes[1],
        value=value,
        validation=rates(positive, score >= value),
        test=rates(truth, shown >= value),
        # The argmax of two classes: of equals the first.
        test_at_half=rates(truth, shown > 0.5),
    )


def _logs(probabilities: Probabilities) -> NDArray[np.float64]:
    return np.asarray(np.log(np.clip(normalised(probabilities), SMALLEST, 1)))


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
