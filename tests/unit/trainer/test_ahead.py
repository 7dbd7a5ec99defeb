"""Drawing ahead changes when items are drawn, never which."""

import gc
import threading
import weakref
from collections.abc import Iterator

import pytest

from trainer.ahead import ahead


@pytest.mark.parametrize("together", [1, 2, 7, 19, 20, 21, 100])
def test_items_come_complete_and_in_order(together: int) -> None:
    assert list(ahead(iter(range(20)), together)) == list(range(20))


def test_nothing_gives_nothing() -> None:
    assert list(ahead(iter([]))) == []


def test_the_next_items_are_drawn_before_they_are_asked_for() -> None:
    third = threading.Event()

    def items() -> Iterator[int]:
        yield 0
        yield 1
        third.set()
        yield 2

    stream = ahead(items())
    assert next(stream) == 0
    assert third.wait(5)
    stream.close()


@pytest.mark.parametrize("together", [1, 2, 4, 5, 6])
def test_an_error_comes_in_its_place(together: int) -> None:
    def items() -> Iterator[int]:
        yield from range(5)
        raise ValueError("broken item")

    stream = ahead(items(), together)
    assert [next(stream) for _ in range(5)] == list(range(5))
    with pytest.raises(ValueError, match="broken item"):
        next(stream)


def test_turns_draw_one_item_then_twice_as_many_each_up_to_what_is_asked_for() -> None:
    begins: list[int] = []
    """Where a turn began: its first item waits here until the test has taken all before it."""
    allowed = threading.Semaphore(0)

    def items() -> Iterator[int]:
        for item in range(1000):
            if item in (0, 1, 3, 7, 12, 17):
                assert allowed.acquire(timeout=5)
                begins.append(item)
            yield item

    stream = ahead(items(), 5)
    taken = 0
    for turn in (1, 2, 4, 5, 5):
        allowed.release()
        # All of a turn comes while the next one, had it been larger or smaller, would be waiting inside it.
        for _ in range(turn):
            assert next(stream) == taken
            taken += 1
    assert begins == [0, 1, 3, 7, 12]
    allowed.release()
    stream.close()


def test_a_consumer_that_stops_leaves_no_thread() -> None:
    stream = ahead(iter(range(1000)))
    next(stream)
    stream.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ahead")]


@pytest.mark.parametrize("taken", [1, 7, 10])
def test_an_iterator_is_let_go_with_the_stream_and_not_by_the_garbage_collection(taken: int) -> None:
    class Items:
        def __init__(self) -> None:
            self.left = 10

        def __iter__(self) -> Iterator[int]:
            return self

        def __next__(self) -> int:
            if not self.left:
                raise StopIteration
            self.left -= 1
            return self.left

    gc.collect()
    gc.disable()
    try:
        items = Items()
        gone = weakref.ref(items)
        stream = ahead(items, 16)
        for _ in range(taken):
            next(stream)
        stream.close()
        del items, stream
        assert gone() is None
    finally:
        gc.enable()
