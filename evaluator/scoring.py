"""Streams a split through `predict` and keeps the answers."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import InvalidInputError
from core.prepared import Split
from evaluator.checks import check_probabilities

Predict = Callable[[NDArray[np.uint8]], NDArray[Any]]
"""uint8 [n, height, width, channels] → probabilities [n, classes]."""
Progress = Callable[[int, int], None]
"""Images done, images in all. May raise to stop."""


def score(predict: Predict, split: Split, batch_size: int, on_progress: Progress) -> NDArray[np.float32]:
    """Predicts every image of a split, one batch in memory at a time.

    Returns:
        float32 [n, classes], in the order of the split.

    Raises:
        InvalidInputError: an empty split, a batch size below one, or a reply that is not one row of probabilities for
            each image sent, with the same number of classes every time.
    """
    total = len(split)
    if not total:
        raise InvalidInputError(
            "the split has no images: there is nothing to score; prepare the data with another split"
        )
    if batch_size < 1:
        raise InvalidInputError(f"batch size {batch_size} is not valid: expected at least 1")
    probabilities: NDArray[np.float32] | None = None
    for start in range(0, total, batch_size):
        images = np.array(split.images[start : start + batch_size])
        reply = np.asarray(predict(images))
        _check_reply(reply, start, len(images), None if probabilities is None else probabilities.shape[1])
        if probabilities is None:
            probabilities = np.empty((total, reply.shape[1]), np.float32)
        probabilities[start : start + len(images)] = reply
        on_progress(start + len(images), total)
    assert probabilities is not None, "a split with images gives at least one batch"
    return probabilities


def _check_reply(reply: NDArray[Any], first: int, images: int, classes: int | None) -> None:
    if reply.ndim != 2 or len(reply) != images or (classes is not None and reply.shape[1] != classes):
        raise InvalidInputError(
            f"the reply for images {first} to {first + images - 1} has shape {list(reply.shape)}, expected "
            f"[{images}, {'classes' if classes is None else classes}]; check the server's model"
        )
    check_probabilities(reply, first)
