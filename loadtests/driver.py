"""Drives the scenarios: when a query is sent. asyncio, one thread, one connection.

Closed loops (closed, single_stream, multi_stream) send when an answer arrives; `server` sends when a query is due;
`offline` has everything due at once.
"""

import asyncio
import gc
import selectors
import time
from collections.abc import Coroutine
from typing import Any

from core.errors import BakeoffError
from loadtests import locust_loop
from loadtests.arrivals import schedule
from loadtests.recorder import NS_PER_S
from loadtests.sender import Sender
from loadtests.window import Window, seconds_until

IN_FLIGHT_BYTES = 256 << 20
MOST_IN_FLIGHT = 10_000
NOT_SENT = "NOT_SENT"
"""Counted as a failure for a query that was due while too many others waited for their answers."""
LEAD_S = 0.05
"""From making the schedule to its first query."""


def new_loop() -> asyncio.AbstractEventLoop:
    """An event loop whose timers are exact.

    asyncio's default rounds every wait up to a whole millisecond (epoll's unit), which an open loop would add to each
    latency; select counts microseconds, and a load generator watches few files.
    """
    return asyncio.SelectorEventLoop(selectors.SelectSelector())


async def drive(sender: Sender, window: Window) -> None:
    """Runs the spec's scenario to its end, queries under way included.

    Raises:
        BakeoffError: a caller broke for another reason than a failed query; nothing it measured counts.
    """
    # What is loaded by now stays: a full collection would be a pause taken for the server's.
    gc.collect()
    gc.freeze()
    scenarios = {"server": _server, "offline": _offline}
    scenario = scenarios.get(sender.spec.scenario, _closed)
    try:
        await (locust_loop.drive if sender.spec.generator == "locust" else scenario)(sender, window)
    except* BakeoffError as errors:
        raise BakeoffError(f"a caller of the load test broke: {errors.exceptions[0]}") from errors


async def _closed(sender: Sender, window: Window) -> None:
    """Callers that send their next query when the last is answered."""
    spec, recorder = sender.spec, sender.recorder

    async def call(number: int) -> None:
        for request in sender.requests(number):
            if recorder.closed:
                return
            await sender.send(request)

    async with asyncio.TaskGroup() as group:
        for number in range(spec.users):
            group.create_task(call(number))
        await window.wait("warm-up", spec.warmup_s)
        window.start_cpu()
        recorder.open(time.perf_counter_ns())
        await window.wait("measure", spec.duration_s, lambda: recorder.queries >= spec.min_queries)
        recorder.close(time.perf_counter_ns())
        window.stop_cpu()


async def _server(sender: Sender, window: Window) -> None:
    """Queries at the times of a Poisson process, whether or not earlier ones were answered."""
    spec, recorder = sender.spec, sender.recorder
    assert spec.rate is not None, "the schema refuses a server scenario without a rate"
    due = schedule(spec.rate, spec.seed, spec.repeat, spec.warmup_s, spec.duration_s, spec.min_queries)
    start = time.perf_counter_ns() + int(LEAD_S * NS_PER_S)
    opens = start + int(spec.warmup_s * NS_PER_S)
    closes = max(opens + int(spec.duration_s * NS_PER_S), start + (due[-1] + 1 if due else 0))
    recorder.open(opens)
    recorder.close(closes)
    async with asyncio.TaskGroup() as group:
        group.create_task(_send_when_due(sender, group, due, start))
        await window.wait("warm-up", seconds_until(opens))
        window.start_cpu()
        await window.wait("measure", seconds_until(closes))
        window.stop_cpu()


async def _send_when_due(sender: Sender, group: asyncio.TaskGroup, due: list[int], start: int) -> None:
    requests = sender.requests(0)
    under_way: set[asyncio.Task[None]] = set()
    # Built before it is due: what building takes, longest after a pause, would make it late.
    request = next(requests)
    most = min(MOST_IN_FLIGHT, max(1, IN_FLIGHT_BYTES // request.ByteSize()))
    for offset in due:
        # Also when it is late already: the queries just created must get their turn to leave.
        await asyncio.sleep(max(0.0, seconds_until(start + offset)))
        if len(under_way) >= most:
            sender.recorder.failure(start + offset, NOT_SENT)
            continue
        task = group.create_task(sender.send(request, start + offset, late=True))
        under_way.add(task)
        task.add_done_callback(under_way.discard)
        await asyncio.sleep(0)  # This one leaves before the next is built.
        request = next(requests)


async def _offline(sender: Sender, window: Window) -> None:
    """All images are due at the start. How many is decided by the speed of the warm-up, as LoadGen does."""
    spec, recorder = sender.spec, sender.recorder
    speed = await _speed(sender, window)
    queries = max(1, spec.min_queries, round(speed * spec.duration_s))
    start = time.perf_counter_ns()
    window.start_cpu()
    recorder.open(start)
    numbers = iter(range(queries))
    last = start

    async def work(number: int) -> None:
        nonlocal last
        requests = sender.requests(number)
        for _ in numbers:
            await sender.send(next(requests), start)
            last = time.perf_counter_ns()

    async with asyncio.TaskGroup() as group:
        group.create_task(window.wait("measure", spec.duration_s, lambda: recorder.queries >= queries))
        async with asyncio.TaskGroup() as workers:
            for number in range(spec.users):
                workers.create_task(work(number))
        # Where the work is done early the rest of the duration is idle, and a busy generator would not look so.
        window.stop_cpu()
    recorder.close(last)


async def _speed(sender: Sender, window: Window) -> float:
    """Queries per second during the warm-up; 0 without one."""
    answered = 0

    async def call(number: int) -> None:
        nonlocal answered
        for request in sender.requests(number):
            await sender.send(request)
            answered += 1

    seconds = sender.spec.warmup_s
    if not seconds:
        return 0.0
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(call(number)) for number in range(sender.spec.users)]
        await window.wait("warm-up", seconds)
        for task in tasks:
            task.cancel()
    return answered / seconds


def run(main: Coroutine[Any, Any, Any]) -> Any:
    """Runs a coroutine on an exact event loop."""
    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(main)
