"""Streams a split through `predict` and keeps the answers."""

import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import InvalidInputError
from core.prepared import Split
from evaluator.checks import check_probabilities
from evaluator.journal import Journal

Predict = Callable[[NDArray[np.uint8]], NDArray[Any]]
"""uint8 [n, height, width, channels] → probabilities [n, classes]. Called from several threads."""
Change = Callable[[NDArray[np.uint8], int], NDArray[np.uint8]]
"""Images and the position of the first one in the split → the images to send."""
Progress = Callable[[int, int], None]
"""Images done, images in all. May raise to stop."""


def unchanged(images: NDArray[np.uint8], _first: int) -> NDArray[np.uint8]:
    """The images themselves."""
    return images


def score(
    predict: Predict,
    split: Split,
    journal: Journal,
    batch_size: int,
    on_progress: Progress,
    in_flight: int = 1,
    change: Change = unchanged,
) -> NDArray[np.float32]:
    """Predicts every image of a split that the journal does not hold yet.

    At most `in_flight` batches are in memory and on their way; answers are kept in order, each as soon as those before
    it are there. Whatever ends this early, the journal keeps what came before, and the next call goes on from there.

    Returns:
        float32 [n, classes], in the order of the split.

    Raises:
        InvalidInputError: an empty split, a batch size or number in flight below one, or a reply that is not one row of
            probabilities for each image sent, with the journal's number of classes.
    """
    total = len(split)
    if not total:
        raise InvalidInputError(
            "the split has no images: there is nothing to score; prepare the data with another split"
        )
    if batch_size < 1 or in_flight < 1:
        raise InvalidInputError(f"batch size {batch_size} with {in_flight} in flight: expected at least 1 of each")
    starts = deque(range(len(journal), total, batch_size))
    waiting: deque[tuple[int, Future[tuple[NDArray[Any], float]]]] = deque()

    def ask(start: int) -> tuple[NDArray[Any], float]:
        images = change(np.array(split.images[start : start + batch_size]), start)
        begin = time.perf_counter()
        reply = np.asarray(predict(images))
        return reply, 1000 * (time.perf_counter() - begin)

    with ThreadPoolExecutor(in_flight) as pool:
        try:
            while starts or waiting:
                while starts and len(waiting) < in_flight:
                    waiting.append((starts[0], pool.submit(ask, starts.popleft())))
                start, future = waiting.popleft()
                reply, latency_ms = future.result()
                _check_reply(reply, start, min(batch_size, total - start), journal.classes)
                journal.append(reply, latency_ms)
                on_progress(min(start + batch_size, total), total)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return np.ascontiguousarray(journal.rows(total)["probabilities"])


def _check_reply(reply: NDArray[Any], first: int, images: int, classes: int) -> None:
    if reply.shape != (images, classes):
        raise InvalidInputError(
            f"the reply for images {first} to {first + images - 1} has shape {list(reply.shape)}, expected "
            f"[{images}, {classes}]; check the server's model"
        )
    check_probabilities(reply, first)
