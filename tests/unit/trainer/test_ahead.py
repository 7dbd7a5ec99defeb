"""Drawing ahead changes when items are drawn, never which."""

import threading
from collections.abc import Iterator

import pytest

from trainer.ahead import TURN_BATCHES, TURN_BYTES, ahead, in_a_turn


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


def test_the_first_turn_draws_one_item_and_a_turn_never_more_than_asked_for() -> None:
    drawn: list[int] = []
    waiting, go_on = threading.Event(), threading.Event()

    def items() -> Iterator[int]:
        for item in range(100):
            drawn.append(item)
            if item == 1:
                waiting.set()
                assert go_on.wait(5)
            yield item

    stream = ahead(items(), 8)
    assert next(stream) == 0  # while the second turn still draws
    assert waiting.wait(5)
    assert drawn == [0, 1]
    go_on.set()
    assert next(stream) == 1
    stream.close()
    assert len(drawn) <= 1 + 8 + 8


@pytest.mark.parametrize(
    ("batch", "shape", "expected"),
    [
        (64, (28, 28, 1), TURN_BATCHES),
        (64, (64, 64, 3), TURN_BYTES // (64 * 64 * 64 * 3)),
        (32, (224, 224, 3), 1),
        (1, (1, 1, 1), TURN_BATCHES),
    ],
)
def test_a_turn_draws_several_small_batches_or_one_large_one(batch: int, shape: tuple[int, ...], expected: int) -> None:
    assert in_a_turn(batch, shape) == expected


def test_a_consumer_that_stops_leaves_no_thread() -> None:
    stream = ahead(iter(range(1000)))
    next(stream)
    stream.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ahead")]
