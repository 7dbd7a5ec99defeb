import asyncio
import random
import time

import pytest

from core.errors import DeadlineError, ExhaustedError, NotReadyError
from services.serving.batcher import Batcher
from tests.unit.serving.batched import POISON, occupy, queue, rows, run, until


def test_requests_that_arrive_together_share_a_batch():
    async def scenario(batcher, echo):
        answers = await asyncio.gather(*(batcher.infer(rows(value)) for value in range(5)))
        assert echo.calls == [[0, 1, 2, 3, 4]]
        assert [float(answer.probabilities[0, 0]) for answer in answers] == [0, 1, 2, 3, 4]
        assert {answer.batch_size for answer in answers} == {5}

    (execution,) = run(scenario)
    assert execution.images == 5


def test_batches_are_counted_in_images_not_requests():
    async def scenario(batcher, echo):
        blockers = await occupy(batcher, echo)
        waiting = await queue(batcher, rows(1, 2, 3), rows(4, 5, 6), rows(7, 8), rows(9))
        assert batcher.queued == 9
        echo.gate.set()
        await asyncio.gather(*blockers, *waiting)
        assert echo.calls[1:] == [[1, 2, 3, 4, 5, 6, 7, 8], [9]]

    run(scenario, max_batch=8)


def test_a_request_that_no_longer_fits_waits_whole_for_the_next_batch():
    async def scenario(batcher, echo):
        blockers = await occupy(batcher, echo)
        waiting = await queue(batcher, rows(1, 2, 3), rows(4, 5))
        echo.gate.set()
        await asyncio.gather(*blockers, *waiting)
        assert echo.calls[1:] == [[1, 2, 3], [4, 5]]

    run(scenario, max_batch=4)


def test_a_request_larger_than_a_batch_is_divided_and_joined_in_order():
    async def scenario(batcher, echo):
        values = list(range(23))
        answer = await batcher.infer(rows(*values))
        assert answer.probabilities[:, 0].tolist() == values
        assert answer.batch_size == 4
        assert max(map(len, echo.calls)) == 4
        assert batcher.queued == 0

    run(scenario, max_batch=4, instances=2)


def test_neighbours_of_a_broken_request_get_their_own_answers():
    async def scenario(batcher, echo):
        outcomes = await asyncio.gather(
            *(batcher.infer(rows(value)) for value in (1, POISON, 3)), return_exceptions=True
        )
        assert echo.calls[0] == [1, POISON, 3]
        assert isinstance(outcomes[1], ValueError)
        assert [float(outcomes[index].probabilities[0, 0]) for index in (0, 2)] == [1, 3]

    observed = run(scenario)
    assert [execution.images for execution in observed] == [1, 1]


def test_a_part_that_breaks_fails_its_whole_request_and_frees_the_rest_of_it():
    async def scenario(batcher, echo):
        with pytest.raises(ValueError, match="poisoned"):
            await batcher.infer(rows(POISON, 1, 2, 3, 4, 5))
        assert batcher.queued == 0
        assert (await batcher.infer(rows(7))).probabilities.tolist() == [[7]]

    run(scenario, max_batch=2)


def test_a_cancelled_request_is_dropped_before_compute_and_its_neighbours_answer():
    async def scenario(batcher, echo):
        blockers = await occupy(batcher, echo)
        before, cancelled, after = await queue(batcher, rows(1), rows(2), rows(3))
        cancelled.cancel()
        await asyncio.sleep(0)
        assert batcher.queued == 2
        echo.gate.set()
        answers = await asyncio.gather(*blockers, before, after)
        assert [answer.probabilities.tolist() for answer in answers[1:]] == [[[1]], [[3]]]
        assert echo.calls[1:] == [[1, 3]]

    run(scenario)


def test_a_request_cancelled_during_compute_does_not_disturb_its_neighbours():
    async def scenario(batcher, echo):
        echo.gate.clear()
        first, second = await queue(batcher, rows(1), rows(2))
        await until(lambda: bool(echo.calls))
        first.cancel()
        await asyncio.sleep(0)
        echo.gate.set()
        assert (await second).probabilities.tolist() == [[2]]
        assert (await batcher.infer(rows(3))).probabilities.tolist() == [[3]]

    run(scenario)


def test_a_request_whose_deadline_passed_costs_no_compute():
    async def scenario(batcher, echo):
        blockers = await occupy(batcher, echo)
        late = await queue(batcher, rows(1), deadline_ns=time.monotonic_ns() + 1_000_000)
        patient = await queue(batcher, rows(2), deadline_ns=time.monotonic_ns() + 10_000_000_000)
        await asyncio.sleep(0.01)
        echo.gate.set()
        with pytest.raises(DeadlineError, match="deadline passed"):
            await late[0]
        assert (await patient[0]).probabilities.tolist() == [[2]]
        await asyncio.gather(*blockers)
        assert echo.calls[1:] == [[2]]
        assert batcher.queued == 0

    run(scenario)


def test_a_full_queue_refuses_with_its_numbers_and_takes_requests_again_later():
    async def scenario(batcher, echo):
        blockers = await occupy(batcher, echo)
        waiting = await queue(batcher, rows(1, 2, 3))
        with pytest.raises(ExhaustedError, match=r"3 images wait and 2 more exceed 4"):
            await batcher.infer(rows(4, 5))
        waiting += await queue(batcher, rows(6))
        echo.gate.set()
        await asyncio.gather(*blockers, *waiting)
        assert (await batcher.infer(rows(4, 5))).probabilities.tolist() == [[4], [5]]

    run(scenario, max_queue=4)


def test_an_idle_instance_waits_for_company_no_longer_than_the_delay():
    async def scenario(batcher, echo):
        started = time.monotonic()
        first = asyncio.ensure_future(batcher.infer(rows(1)))
        for _ in range(3):  # It is dispatched: an idle instance waits.
            await asyncio.sleep(0)
        second = asyncio.ensure_future(batcher.infer(rows(2)))
        await asyncio.gather(first, second)
        assert echo.calls == [[1, 2]]
        assert 0.2 <= time.monotonic() - started < 10

    run(scenario, max_delay_ns=200_000_000)


def test_a_full_batch_does_not_wait_for_the_delay():
    async def scenario(batcher, echo):
        await asyncio.wait_for(asyncio.gather(batcher.infer(rows(1)), batcher.infer(rows(2))), 5)

    run(scenario, max_batch=2, max_delay_ns=60_000_000_000)


def test_every_instance_computes_at_the_same_time():
    async def scenario(batcher, echo):
        blockers = await occupy(batcher, echo, instances=3)
        assert len(echo.calls) == 3
        echo.gate.set()
        await asyncio.gather(*blockers)

    run(scenario, instances=3)


def test_closing_fails_what_waits_and_refuses_what_comes():
    async def scenario(batcher, echo):
        blockers = await occupy(batcher, echo)
        (waiting,) = await queue(batcher, rows(1))
        batcher.close()
        with pytest.raises(NotReadyError, match="was unloaded"):
            await waiting
        with pytest.raises(NotReadyError, match="being unloaded"):
            await batcher.infer(rows(2))
        echo.gate.set()
        assert (await blockers[0]).probabilities.tolist() == [[100]]

    run(scenario)


def test_replies_are_never_mixed_among_many_clients_that_come_leave_and_break():
    async def client(batcher: Batcher, number: int) -> int:
        draw, answered = random.Random(number), 0
        for _ in range(20):
            values = [draw.randrange(0, POISON) for _ in range(draw.randint(1, 6))]
            broken = draw.random() < 0.1
            task = asyncio.ensure_future(batcher.infer(rows(*values, *([POISON] if broken else []))))
            await asyncio.sleep(draw.choice((0, 0, 0.0005)))
            if draw.random() < 0.2:
                task.cancel()
            try:
                answer = await task
            except asyncio.CancelledError:
                continue
            except ValueError:
                assert broken
                continue
            assert not broken
            assert answer.probabilities[:, 0].tolist() == values
            answered += 1
        return answered

    async def scenario(batcher, echo):
        counts = await asyncio.gather(*(client(batcher, number) for number in range(16)))
        assert sum(counts) > 150
        assert batcher.queued == 0

    run(scenario, max_batch=5, instances=2, max_queue=1000)


def test_a_full_queue_says_when_to_come_back_from_what_waits_and_how_fast_it_goes():
    async def scenario(batcher, echo):
        batcher._image_ns = 1e9
        echo.gate.clear()
        waiting = []
        for number in range(5):
            waiting.append(asyncio.ensure_future(batcher.infer(rows(number))))
            await asyncio.sleep(0.01)
        with pytest.raises(ExhaustedError) as refused:
            await batcher.infer(rows(9))
        # Two are computed, three wait for a second each on two instances: 1.5 s, give or take a half.
        assert 0.75 <= refused.value.retry_after_s <= 2.25
        echo.gate.set()
        await asyncio.gather(*waiting)
        assert batcher._image_ns < 1e9

    run(scenario, max_batch=1, max_queue=3, instances=2)


def test_light_images_wait_for_the_batch_under_way_rather_than_start_a_small_one_beside_it():
    async def scenario(batcher, echo):
        blockers = await occupy(batcher, echo)
        batcher._image_ns = 100_000
        waiting = await queue(batcher, rows(1), rows(2), rows(3))
        await asyncio.sleep(0.01)
        assert len(echo.calls) == 1
        waiting += await queue(batcher, rows(4))
        await until(lambda: len(echo.calls) == 2)
        assert echo.calls[1] == [1, 2, 3, 4]
        echo.gate.set()
        await asyncio.gather(*blockers, *waiting)

    run(scenario, max_batch=4, instances=2)


@pytest.mark.parametrize(
    ("waits", "max_batch", "batches"),
    [
        # Three of six, then two of the three that are left: nobody waits for an instance while another is idle.
        (6, 8, [[0, 1, 2], [3, 4]]),
        # Full where enough wait.
        (16, 4, [[0, 1, 2, 3], [4, 5, 6, 7]]),
    ],
)
def test_heavy_images_are_shared_out_among_the_instances(waits, max_batch, batches):
    async def scenario(batcher, echo):
        batcher._image_ns = 5_000_000
        echo.gate.clear()
        waiting = await queue(batcher, *(rows(number) for number in range(waits)))
        await until(lambda: len(echo.calls) == 2)
        assert sorted(echo.calls) == batches
        echo.gate.set()
        await asyncio.gather(*waiting)

    run(scenario, max_batch=max_batch, instances=2)


def test_a_request_of_heavy_images_that_fits_a_batch_is_not_divided():
    async def scenario(batcher, echo):
        batcher._image_ns = 5_000_000
        await batcher.infer(rows(1, 2, 3))
        assert echo.calls == [[1, 2, 3]]

    run(scenario, max_batch=4, instances=2)
