import asyncio

import pytest

from services.serving.stream import in_order


async def numbers(count: int):
    for number in range(count):
        yield number


def test_results_come_in_the_order_of_the_items_though_work_ends_in_another():
    async def work(number: int) -> int:
        await asyncio.sleep(0.002 * (5 - number))
        return number

    async def main() -> list[int]:
        return [result async for result in in_order(numbers(5), work, 5)]

    assert asyncio.run(main()) == [0, 1, 2, 3, 4]


def test_no_more_than_the_window_runs_at_a_time():
    running = peak = 0

    async def work(number: int) -> int:
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        await asyncio.sleep(0)
        running -= 1
        return number

    async def main() -> int:
        return len([result async for result in in_order(numbers(20), work, 3)])

    assert asyncio.run(main()) == 20
    assert peak == 3


def test_what_still_runs_is_cancelled_when_the_reader_leaves():
    cancelled = []

    async def work(number: int) -> int:
        try:
            await asyncio.sleep(0 if number == 0 else 60)
        except asyncio.CancelledError:
            cancelled.append(number)
            raise
        return number

    async def main() -> None:
        results = in_order(numbers(3), work, 3)
        assert await anext(results) == 0
        await results.aclose()
        await asyncio.sleep(0)

    asyncio.run(main())
    assert sorted(cancelled) == [1, 2]


def test_an_error_of_the_source_reaches_the_reader_after_the_results_before_it():
    async def broken():
        yield 1
        raise ConnectionError("gone")

    async def work(number: int) -> int:
        return number

    async def main() -> None:
        results = in_order(broken(), work, 3)
        assert await anext(results) == 1
        with pytest.raises(ConnectionError):
            await anext(results)

    asyncio.run(main())


def test_an_empty_stream_gives_nothing():
    async def work(number: int) -> int:
        return number

    async def main() -> list[int]:
        return [result async for result in in_order(numbers(0), work, 3)]

    assert asyncio.run(main()) == []
