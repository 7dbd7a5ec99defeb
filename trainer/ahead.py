"""Draws batches ahead of the training, so that a step finds the next one ready."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

ItemT = TypeVar("ItemT")
DEPTH = 2
"""One is being used, so many wait."""


def ahead(items: Iterator[ItemT]) -> Iterator[ItemT]:
    """The same items in the same order, each drawn by one thread while earlier ones are used.

    An error reaches the consumer in its place. A consumer that stops leaves no thread behind.
    """
    end = object()
    pending: deque[Future[ItemT | object]] = deque()
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as pool:
        pending.extend(pool.submit(next, items, end) for _ in range(DEPTH))
        while (found := pending.popleft().result()) is not end:
            pending.append(pool.submit(next, items, end))
            yield found  # type: ignore[misc]
