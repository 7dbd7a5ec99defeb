"""Draws batches ahead of the training, so that a step finds the next one ready."""

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from time import perf_counter
from typing import Generic, TypeVar

ItemT = TypeVar("ItemT")
DEPTH = 2
"""Turns of the thread that are drawn, or being drawn, while the items of one are used."""


def ahead(items: Iterator[ItemT], together: int = 1) -> Generator[ItemT, None, None]:
    """The same items in the same order, drawn by one thread while earlier ones are used.

    An error reaches the consumer in its place. A consumer that stops leaves no thread behind.

    Args:
        together: how many one turn of the thread draws at most. The first draws one, for which the consumer waits, and
            each twice as many as the one before, so that no later one is waited for where drawing is fast enough.
    """
    pending: deque[Future[tuple[list[ItemT], BaseException | None]]] = deque()
    pool = ThreadPoolExecutor(1, thread_name_prefix="ahead")
    try:
        number, ended = 1, None
        for _ in range(DEPTH):
            pending.append(pool.submit(_turn, items, number))
            number = min(2 * number, together)
        while ended is None:
            drawn, ended = pending.popleft().result()
            if ended is None:
                pending.append(pool.submit(_turn, items, number))
                number = min(2 * number, together)
            yield from drawn
        if not isinstance(ended, StopIteration):
            raise ended
    finally:
        pool.shutdown(cancel_futures=True)


def _turn(items: Iterator[ItemT], number: int) -> tuple[list[ItemT], BaseException | None]:
    """So many items, or those that come before the end or an error, and that."""
    drawn: list[ItemT] = []
    try:
        for _ in range(number):
            drawn.append(next(items))
    except BaseException as ended:
        return drawn, ended
    return drawn, None


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
