"""The clock of a load test: waits out its phases, tells how far it is, and measures the generator's own CPU."""

import asyncio
import time
from collections.abc import Callable

from loadtests.arrivals import LONGEST_S
from loadtests.recorder import NS_PER_S, Recorder

TICK_S = 0.25
Progress = Callable[[str, float, float, dict[str, float]], None]
"""Called with phase, seconds done, seconds in all, and figures."""


def always() -> bool:
    """Nothing else to wait for."""
    return True


class Window:
    """Phases of one load test, in their order."""

    def __init__(self, recorder: Recorder, progress: Progress) -> None:
        self._recorder, self._progress = recorder, progress
        self.phase = "start"
        """What goes on now, for a message."""
        self._cpu_ns = self._since_ns = 0

    async def wait(self, phase: str, seconds: float, done: Callable[[], bool] = always) -> None:
        """Lets `seconds` pass and, until LONGEST_S, what `done` waits for; tells the progress meanwhile."""
        self.phase = phase
        began = time.perf_counter()
        while (passed := time.perf_counter() - began) < seconds or (not done() and passed < LONGEST_S):
            self._progress(phase, min(passed, seconds), seconds, self._figures())
            left = seconds - passed
            await asyncio.sleep(min(TICK_S, left) if left > 0 else TICK_S)
        self._progress(phase, seconds, seconds, self._figures())

    def start_cpu(self) -> None:
        """The generator's CPU counts from here."""
        self._since_ns, self._cpu_ns = time.perf_counter_ns(), time.process_time_ns()

    def stop_cpu(self) -> None:
        """The generator's CPU counts up to here."""
        passed = time.perf_counter_ns() - self._since_ns
        self._recorder.generator_cpu = (time.process_time_ns() - self._cpu_ns) / passed if passed else 0.0

    def _figures(self) -> dict[str, float]:
        """What a progress line shows beside the seconds."""
        recorder = self._recorder
        values = {"requests": float(recorder.requests), "errors": float(recorder.errors.total())}
        if recorder.requests:
            values["p50_ms"], values["p99_ms"] = recorder.percentile_ms(50), recorder.percentile_ms(99)
        return values


def seconds_until(moment_ns: int) -> float:
    """From now; negative for the past."""
    return (moment_ns - time.perf_counter_ns()) / NS_PER_S
