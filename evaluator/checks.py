"""What probabilities must be before anybody counts with them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import InvalidInputError

SUM_TOLERANCE = 1e-3
"""Largest distance of a row sum from one: far above float32 rounding, far below a missing softmax."""


def check_probabilities(probabilities: NDArray[Any], first: int = 0) -> None:
    """Refuses what cannot be rows of probabilities.

    Args:
        probabilities: floating [n, classes].
        first: index of the first row's image, for the message.

    Raises:
        InvalidInputError: wrong rank or type, fewer than two classes, NaN or infinity, a value outside 0 to 1, or a row
            that does not sum to one; the first bad image is named.
    """
    if probabilities.ndim != 2 or probabilities.shape[1] < 2:
        raise InvalidInputError(
            f"probabilities have shape {list(probabilities.shape)}, expected [images, classes] with at least two "
            "classes; check the model's output"
        )
    if not np.issubdtype(probabilities.dtype, np.floating):
        raise InvalidInputError(f"probabilities are {probabilities.dtype}, expected float32; check the model's output")
    if not probabilities.size:
        return
    finite = np.isfinite(probabilities).all(axis=1)
    if not finite.all():
        raise InvalidInputError(
            f"the probabilities of image {first + int(np.argmin(finite))} are not finite; the model is damaged or its "
            "training diverged"
        )
    inside = ((probabilities >= -SUM_TOLERANCE) & (probabilities <= 1 + SUM_TOLERANCE)).all(axis=1)
    if not inside.all():
        bad = int(np.argmin(inside))
        raise InvalidInputError(
            f"the probabilities of image {first + bad} lie between {probabilities[bad].min():.4g} and "
            f"{probabilities[bad].max():.4g}, expected 0 to 1; is the softmax missing from the graph?"
        )
    distance = np.abs(probabilities.sum(axis=1, dtype=np.float64) - 1)
    worst = int(distance.argmax())
    if distance[worst] > SUM_TOLERANCE:
        raise InvalidInputError(
            f"the probabilities of image {first + worst} sum to {probabilities[worst].sum(dtype=np.float64):.6g}, "
            f"expected 1 (within {SUM_TOLERANCE:g}); is the softmax missing from the graph?"
        )
