"""Draws batches ahead of the training, so that a step finds the next one ready."""

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
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
    pending: deque[Future[Turn[ItemT]]] = deque()
    pool = ThreadPoolExecutor(1, thread_name_prefix="ahead")
    numbers = _doubled(together)
    try:
        pending.extend(pool.submit(_turn, items, next(numbers)) for _ in range(DEPTH))
        while True:
            turn = pending.popleft().result()
            if not turn.last:
                pending.append(pool.submit(_turn, items, next(numbers)))
            yield from turn.drawn
            if turn.error is not None:
                raise turn.error
            if turn.last:
                return
    finally:
        pool.shutdown(cancel_futures=True)


@dataclass(frozen=True)
class Turn(Generic[ItemT]):
    """What the thread drew in one go."""

    drawn: list[ItemT]
    last: bool
    """Whether nothing comes after it."""
    error: BaseException | None = None
    """What came instead of the next item."""


def _doubled(most: int) -> Iterator[int]:
    number = 1
    while True:
        yield number
        number = min(2 * number, most)


def _turn(items: Iterator[ItemT], number: int) -> Turn[ItemT]:
    drawn: list[ItemT] = []
    try:
        # No StopIteration is kept: its traceback would keep the iterator until the garbage collection runs, in the
        # middle of a step, and an iterator of `tf.data` may take seconds to go.
        for item in islice(items, number):
            drawn.append(item)
    except BaseException as error:
        return Turn(drawn, True, error)
    return Turn(drawn, len(drawn) < number)


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
