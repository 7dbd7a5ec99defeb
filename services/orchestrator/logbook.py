"""Keeps on disk how far an experiment is and how it ended, for whoever looks without having started it."""

import shlex
import socket
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO

from core import files
from core.errors import CancelledError, WrongStateError
from core.schemas.course import Course, CourseOutcome, StepNow, StepsDone, course_path, lock_path
from core.schemas.experiment import Experiment
from services.orchestrator.reporter import Outcome, Reporter
from services.orchestrator.steps import Step

EVERY_S = 1.0
"""How often progress inside a step is written; beginnings and ends are written at once."""
FAILED_KEPT = 20


class Logbook:
    """A reporter that writes; open it around all that belongs to the experiment.

    It is for show: where it cannot be written, the experiment goes on. Of two commands that run the same experiment at
    once the first one writes, and the other one after it.

    Args:
        folder: of all experiments' courses.
        command: the words that start this experiment again.
    """

    def __init__(self, folder: Path, experiment: Experiment, command: Sequence[str]) -> None:
        self._folder, self._command = folder, shlex.join(command)
        self._name, self._title = experiment.report_name, experiment.title
        self._steps: dict[str, list[int]] = {}
        self._now: dict[str, StepNow] = {}
        self._failed: list[str] = []
        self._started = time.time()
        self._written = 0.0
        self._mutex = threading.Lock()
        self._hold: IO[str] | None = None

    def __enter__(self) -> "Logbook":
        with self._mutex:
            self._write()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._mutex:
            self._now.clear()
            outcome = _outcome(error)
            self._write(outcome, (str(error) or type(error).__name__) if outcome == "failed" else "")
            if self._hold is not None:
                self._hold.close()
                self._hold = None

    def plan(self, totals: dict[str, int]) -> None:
        """Adds to what is known to come."""
        with self._mutex:
            for group, total in totals.items():
                self._steps.setdefault(group, [0, 0])[1] = total
            self._write()

    def progress(self, step: Step, phase: str, done: float, total: float, values: dict[str, float]) -> None:
        """Keeps the step's latest."""
        with self._mutex:
            begins = step.run_id not in self._now
            self._now[step.run_id] = StepNow(
                label=f"{step.spec.kind} {step.label}", phase=phase, done=done, total=total
            )
            if begins or time.monotonic() - self._written >= EVERY_S:
                self._write()

    def note(self, text: str) -> None:
        """Nothing, as for `log`."""

    def log(self, step: Step, level: str, text: str) -> None:
        """Nothing: lines are for the terminal and the services' logs."""

    def finished(self, step: Step, outcome: Outcome, text: str) -> None:
        """Counts a step."""
        with self._mutex:
            self._now.pop(step.run_id, None)
            counts = self._steps.setdefault(step.group, [0, 1])
            counts[0] += 1
            if outcome == "failed" and len(self._failed) < FAILED_KEPT:
                self._failed.append(f"{step.spec.kind} {step.label}: {text}")
            self._write()

    def _write(self, outcome: CourseOutcome | None = None, reason: str = "") -> None:
        with suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            if not self._holds():
                return
            self._written = time.monotonic()
            course = Course(
                name=self._name,
                title=self._title,
                command=self._command,
                directory=str(Path.cwd()),
                host=socket.gethostname(),
                started=self._started,
                updated=time.time(),
                steps=tuple(
                    StepsDone(group=group, done=done, total=max(done, total))
                    for group, (done, total) in self._steps.items()
                ),
                now=tuple(self._now.values()),
                failed=tuple(self._failed),
                outcome=outcome,
                reason=reason,
            )
            files.write_json(course_path(self._folder, self._name), course)

    def _holds(self) -> bool:
        """Whether this command is the one that writes."""
        if self._hold is None:
            with suppress(WrongStateError):
                self._hold = files.lock(lock_path(self._folder, self._name), "another command runs this experiment")
        return self._hold is not None


def _outcome(error: BaseException | None) -> CourseOutcome:
    if error is None:
        return "done"
    return "interrupted" if isinstance(error, KeyboardInterrupt | CancelledError) else "failed"


class Together:
    """Several reporters as one."""

    def __init__(self, *reporters: Reporter) -> None:
        self._reporters = reporters

    def plan(self, totals: dict[str, int]) -> None:
        """To each."""
        for one in self._reporters:
            one.plan(totals)

    def progress(self, step: Step, phase: str, done: float, total: float, values: dict[str, float]) -> None:
        """To each."""
        for one in self._reporters:
            one.progress(step, phase, done, total, values)

    def note(self, text: str) -> None:
        """To each."""
        for one in self._reporters:
            one.note(text)

    def log(self, step: Step, level: str, text: str) -> None:
        """To each."""
        for one in self._reporters:
            one.log(step, level, text)

    def finished(self, step: Step, outcome: Outcome, text: str) -> None:
        """To each."""
        for one in self._reporters:
            one.finished(step, outcome, text)
