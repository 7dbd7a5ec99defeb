"""Draws batches ahead of the training, so that a step finds the next one ready."""

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from time import perf_counter
from typing import Generic, TypeVar

ItemT = TypeVar("ItemT")
DEPTH = 2
"""One is being used, so many wait."""


def ahead(items: Iterator[ItemT]) -> Generator[ItemT, None, None]:
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


class Waits(Generic[ItemT]):
    """Iterates once and adds up how long its consumer waited for items."""

    def __init__(self, items: Iterable[ItemT]) -> None:
        self.seconds = 0.0
        self._items = iter(items)

    def __iter__(self) -> "Waits[ItemT]":
        return self

    def __next__(self) -> ItemT:
        start = perf_counter()
        item = next(self._items)  # the end is no item: a loader may take its time to take itself down
        self.seconds += perf_counter() - start
        return item
