"""How far two sets of probabilities for the same images are apart."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import InvalidInputError
from core.schemas.results import Parity


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
