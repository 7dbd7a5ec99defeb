import asyncio
import time

from services.serving.workers import Workers


def test_what_is_finished_is_handed_over_before_the_turn_of_the_event_loop_ends():
    async def main() -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        done: list[tuple[int, int]] = []
        workers: Workers[int, int] = Workers(
            "w", 1, lambda job: 10 * job, lambda job, outcome: done.append((job, outcome))
        )
        workers.submit(1)
        workers.submit(2)
        last = time.monotonic() + 10
        # No await: the event loop cannot have done it.
        while len(done) < 2 and time.monotonic() < last:
            workers.deliver()
        early = list(done)
        workers.submit(3)
        while len(done) < 3 and time.monotonic() < last:
            await asyncio.sleep(0.001)
        workers.close()
        return early, done

    early, done = asyncio.run(main())
    assert early == [(1, 10), (2, 20)]
    assert done == [(1, 10), (2, 20), (3, 30)]
