"""Drawing ahead changes when items are drawn, never which."""

import threading
from collections.abc import Iterator

import pytest

from trainer.ahead import ahead


def test_items_come_complete_and_in_order() -> None:
    assert list(ahead(iter(range(20)))) == list(range(20))


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


def test_an_error_comes_in_its_place() -> None:
    def items() -> Iterator[int]:
        yield 0
        raise ValueError("broken item")

    stream = ahead(items())
    assert next(stream) == 0
    with pytest.raises(ValueError, match="broken item"):
        next(stream)


def test_a_consumer_that_stops_leaves_no_thread() -> None:
    stream = ahead(iter(range(1000)))
    next(stream)
    stream.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ahead")]
