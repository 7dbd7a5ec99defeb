"""Single test images worth looking at: the largest losses, and answers that an export changed."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.schemas.scores import Disagreement, Loss
from evaluator.scores import normalised

LOSSES = 12
DISAGREEMENTS = 12
"""Most images listed for one artefact."""
SMALLEST = float(np.finfo(np.float32).eps)
"""Where the logarithm is cut, as in the log loss."""


def top_losses(
    labels: NDArray[np.int64], probabilities: NDArray[np.float32], classes: Sequence[str]
) -> tuple[Loss, ...]:
    """The images whose true class got the least probability, the worst first.

    Args:
        labels: int64 [n].
        probabilities: float32 [n, classes].
    """
    rows = normalised(probabilities)
    of_truth = rows[np.arange(len(rows)), labels]
    predicted = rows.argmax(axis=1)
    worst: Any = np.argsort(of_truth, kind="stable")[:LOSSES]
    return tuple(
        Loss(
            index=int(index),
            true=classes[labels[index]],
            predicted=classes[predicted[index]],
            probability=float(rows[index, predicted[index]]),
            true_probability=float(of_truth[index]),
            loss=-float(np.log(max(of_truth[index], SMALLEST))),
        )
        for index in worst
    )


def disagreements(
    row: int, native: NDArray[Any], served: NDArray[Any], labels: NDArray[np.int64], classes: Sequence[str]
) -> tuple[Disagreement, ...]:
    """Images whose most probable class differs between two sets of probabilities [n, classes], the largest difference
    first; at most DISAGREEMENTS."""
    before, after = native.argmax(axis=1), served.argmax(axis=1)
    difference = np.abs(native.astype(np.float64) - served.astype(np.float64)).max(axis=1)
    where: Any = np.flatnonzero(before != after)
    worst = where[np.argsort(-difference[where], kind="stable")][:DISAGREEMENTS]
    return tuple(
        Disagreement(
            row=row,
            index=int(index),
            true=classes[labels[index]],
            native=classes[before[index]],
            served=classes[after[index]],
            difference=float(difference[index]),
        )
        for index in worst
    )


def pictured(losses: Sequence[Sequence[Loss]], differing: Sequence[Disagreement]) -> list[int]:
    """Test images that are shown anywhere, each once, ascending."""
    return sorted({one.index for group in losses for one in group} | {one.index for one in differing})
