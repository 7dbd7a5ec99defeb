"""Runs a closed-loop load with Locust as a library: no web page, its own clock and histogram."""

import gc
import time
from collections.abc import Callable
from typing import ClassVar

import gevent
import gevent.event
from locust.env import Environment
from locust.exception import StopUser
from locust.runners import LocalRunner

from core.errors import BakeoffError, CancelledError
from loadtests.recorder import Recorder
from loadtests.user import InferenceUser, Load, Outcome

TICK_S = 0.25
Progress = Callable[[str, float, float, dict[str, float]], None]
"""Called with phase, seconds done, seconds in all, and figures."""


class MeasuredUser(InferenceUser):
    """Records into the histogram and ends when the window has closed."""

    recorder: ClassVar[Recorder]

    def observe(self, outcome: Outcome) -> None:
        """Counts the request; Locust's rounded statistics are left alone."""
        recorder, prediction = self.recorder, outcome.prediction
        if prediction is None:
            recorder.failure(outcome.began_ns, outcome.code)
        else:
            images = len(prediction.probabilities)
            recorder.success(outcome.began_ns, outcome.ended_ns, images, prediction.server_ns, prediction.batch_size)
        if recorder.closed:
            raise StopUser


def measure(
    load: Load,
    users: int,
    warmup_s: float,
    duration_s: float,
    stop: gevent.event.Event,
    progress: Progress,
) -> Recorder:
    """Starts the users, waits out warm-up and window, lets requests under way finish, and returns what was recorded.

    Raises:
        CancelledError: `stop` was set first.
        BakeoffError: a user broke for another reason than a failed request.
    """
    recorder = Recorder()
    user_class = type("MeasuredUser", (MeasuredUser,), {"load": load, "recorder": recorder})
    environment = Environment(user_classes=[user_class], catch_exceptions=False)
    runner = environment.create_local_runner()
    # What is loaded by now stays: a full collection walks all of Locust, a pause of 50 ms and more that would be taken
    # for the server's.
    gc.collect()
    gc.freeze()
    try:
        runner.start(users, spawn_rate=users)
        runner.spawning_greenlet.join()
        _wait("warm-up", warmup_s, stop, runner, recorder, progress)
        recorder.open(time.perf_counter_ns(), time.process_time_ns())
        _wait("measure", duration_s, stop, runner, recorder, progress)
        recorder.close(time.perf_counter_ns(), time.process_time_ns())
        _drain(runner, load.client.timeout_s, stop)
        _raise_broken(runner)
    finally:
        runner.quit()
    return recorder


def _wait(
    phase: str,
    seconds: float,
    stop: gevent.event.Event,
    runner: LocalRunner,
    recorder: Recorder,
    progress: Progress,
) -> None:
    began = time.perf_counter()
    while (left := began + seconds - time.perf_counter()) > 0:
        progress(phase, seconds - left, seconds, figures(recorder))
        if stop.wait(min(TICK_S, left)):
            raise CancelledError(f"stopped on request during {phase}")
        _raise_broken(runner)
    progress(phase, seconds, seconds, figures(recorder))


def _drain(runner: LocalRunner, timeout_s: float, stop: gevent.event.Event) -> None:
    """Users end by themselves with the request they are in; none takes longer than its own deadline."""
    deadline = time.perf_counter() + timeout_s + TICK_S
    while not runner.user_greenlets.join(timeout=TICK_S) and time.perf_counter() < deadline:
        if stop.is_set():
            raise CancelledError("stopped on request while the last requests were under way")


def _raise_broken(runner: LocalRunner) -> None:
    """A user that ended for another reason than the window is a fault of the load test; nothing it measured counts."""
    if runner.exceptions:
        first = next(iter(runner.exceptions.values()))
        raise BakeoffError(f"{first['traceback']}a user of the load test broke: {first['msg']}")


def figures(recorder: Recorder) -> dict[str, float]:
    """What a progress line shows beside the seconds."""
    values = {"requests": float(recorder.requests), "errors": float(recorder.errors.total())}
    if recorder.requests:
        values["p50_ms"], values["p99_ms"] = recorder.percentile_ms(50), recorder.percentile_ms(99)
    return values
