"""How far two sets of probabilities for the same images are apart."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import InvalidInputError
from core.schemas.metrics import Parity
from core.schemas.summary import PairParity, Row
from evaluator.paired import Predictions


def compare(first: NDArray[Any], second: NDArray[Any]) -> Parity:
    """Compares probabilities [n, classes] of the same n images, in float64.

    Raises:
        InvalidInputError: the shapes differ or there is nothing to compare.
    """
    if first.shape != second.shape or first.ndim != 2:
        raise InvalidInputError(
            f"cannot compare probabilities of shape {list(first.shape)} with {list(second.shape)}: expected the same "
            "images and classes; score both artefacts on the same data"
        )
    if not first.size:
        raise InvalidInputError("cannot compare probabilities of no images; score at least one")
    difference = np.abs(first.astype(np.float64) - second.astype(np.float64))
    return Parity(
        largest_difference=float(difference.max()),
        mean_difference=float(difference.mean()),
        disagreements=int((first.argmax(axis=1) != second.argmax(axis=1)).sum()),
        images=len(first),
    )


def pairs(rows: Sequence[Row], predictions: Predictions) -> tuple[PairParity, ...]:
    """Every pair of rows of one training, for each arm and framework that of its first seed.

    A seed with fewer than two rows that have predictions is passed over: the seeds after the first are scored as ONNX
    alone, and need not be the higher ones.
    """
    trainings: dict[tuple[str, str], dict[int, list[int]]] = {}
    for index, row in enumerate(rows):
        if index in predictions:
            trainings.setdefault((row.arm, row.framework), {}).setdefault(row.seed, []).append(index)
    found = []
    for seeds in trainings.values():
        members = next((seeds[seed] for seed in sorted(seeds) if len(seeds[seed]) > 1), [])
        for first, second in combinations(members, 2):
            apart = compare(predictions[first], predictions[second])
            found.append(PairParity(first=first, second=second, parity=apart))
    return tuple(found)
