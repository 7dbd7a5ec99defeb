"""How long requests wait for their batch, and how they are counted meanwhile."""

import asyncio

import pytest

from services.serving.batcher import BatchPolicy, WaitedTooLongError
from tests.unit.serving.batched import occupy, queue, rows, run, until


@pytest.mark.parametrize(
    ("policy", "asked", "wait"),
    [
        ((0, False), 0, 0),
        ((0, False), 7, 7),
        ((0, True), 7, 7),
        ((50, False), 0, 50),
        ((50, False), 7, 50),
        ((50, True), 0, 50),
        ((50, True), 49, 49),
        ((50, True), 50, 50),
        ((50, True), 99, 50),
    ],
)
def test_a_request_may_shorten_the_policys_wait_where_it_is_allowed_to_and_never_exceeds_it(policy, asked, wait):
    assert BatchPolicy(8, 0, 100, 1, *policy).wait_us(asked) == wait


@pytest.mark.parametrize(("timeout_us", "own_us"), [(200_000, 0), (0, 200_000), (60_000_000, 200_000)])
def test_a_request_that_waited_too_long_is_refused_before_it_costs_compute(timeout_us, own_us):
    async def scenario(batcher, echo):
        blockers = await occupy(batcher, echo)
        late = asyncio.ensure_future(batcher.infer(rows(1), None, own_us))
        await asyncio.sleep(0.25)
        assert not late.done()
        echo.gate.set()
        with pytest.raises(WaitedTooLongError, match=r"longer in the queue of model 'm' than the 200000 µs it may"):
            await late
        await asyncio.gather(*blockers)
        assert echo.calls[1:] == []
        assert (batcher.queued, batcher.pending) == (0, 0)
        assert (await batcher.infer(rows(2), None, own_us)).probabilities.tolist() == [[2]]

    run(scenario, timeout_us=timeout_us, may_shorten=True)


def test_a_wait_that_is_long_enough_is_no_matter_however_long_the_work_takes():
    async def scenario(batcher, echo):
        echo.gate.clear()
        asked = asyncio.ensure_future(batcher.infer(rows(1, 2, 3)))
        await until(lambda: bool(echo.calls))
        # The first part is computed and the others wait for it: the work has begun.
        await asyncio.sleep(0.06)
        echo.gate.set()
        assert (await asked).probabilities.tolist() == [[1], [2], [3]]

    run(scenario, max_batch=1, timeout_us=50_000)


def test_what_waits_is_counted_in_requests_until_its_work_begins():
    async def scenario(batcher, echo):
        blockers = await occupy(batcher, echo)
        assert batcher.pending == 0
        whole, cancelled, late = await queue(batcher, rows(1, 2, 3), rows(4), rows(5, 6))
        assert (batcher.pending, batcher.queued) == (3, 6)
        cancelled.cancel()
        await asyncio.sleep(0)
        assert (batcher.pending, batcher.queued) == (2, 5)
        echo.gate.set()
        await asyncio.gather(*blockers, whole, late)
        assert (batcher.pending, batcher.queued) == (0, 0)

    run(scenario, max_batch=2)


def test_a_request_of_which_a_part_is_computed_does_not_count_as_waiting():
    async def scenario(batcher, echo):
        echo.gate.clear()
        asked = asyncio.ensure_future(batcher.infer(rows(1, 2, 3)))
        await until(lambda: bool(echo.calls))
        assert (batcher.pending, batcher.queued) == (0, 2)
        asked.cancel()
        await asyncio.sleep(0)
        assert (batcher.pending, batcher.queued) == (0, 0)
        echo.gate.set()
        assert (await batcher.infer(rows(7))).probabilities.tolist() == [[7]]

    run(scenario, max_batch=1)
