"""Draws batches ahead of the training, so that a step finds the next one ready."""

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from math import prod
from time import perf_counter
from typing import Generic, TypeVar

ItemT = TypeVar("ItemT")
DEPTH = 2
"""Turns of the thread that are drawn, or being drawn, while the items of one are used."""
TURN_BYTES, TURN_BATCHES = 4 << 20, 16
"""What one turn draws at most, but for a single batch that is larger."""


def in_a_turn(batch: int, shape: tuple[int, ...]) -> int:
    """How many batches of so many uint8 images of a shape one turn of the thread shall draw.

    Where all cores compute, each turn interrupts the step that is running: with 28×28 pixels and two cores by half a
    millisecond of 8, while a batch is drawn in 0.05. Small batches are therefore drawn several at a time.
    """
    return max(1, min(TURN_BATCHES, TURN_BYTES // (batch * prod(shape))))


def ahead(items: Iterator[ItemT], together: int = 1) -> Generator[ItemT, None, None]:
    """The same items in the same order, drawn by one thread while earlier ones are used.

    An error reaches the consumer in its place. A consumer that stops leaves no thread behind.

    Args:
        together: how many one turn of the thread draws; the first draws one, for which the consumer waits.
    """
    pending: deque[Future[tuple[list[ItemT], BaseException | None]]] = deque()
    pool = ThreadPoolExecutor(1, thread_name_prefix="ahead")
    try:
        pending.extend(pool.submit(_turn, items, number) for number in (1, *[together] * (DEPTH - 1)))
        ended: BaseException | None = None
        while ended is None:
            drawn, ended = pending.popleft().result()
            if ended is None:
                pending.append(pool.submit(_turn, items, together))
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
