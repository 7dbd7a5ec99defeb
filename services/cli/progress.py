"""Shows an experiment's progress: one bar per framework on a terminal, plain lines elsewhere."""

import threading
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from services.orchestrator.reporter import Outcome
from services.orchestrator.steps import Step

ORDER = ("loss", "train_loss", "train_accuracy", "validation_accuracy", "epoch")
PLAIN_EVERY_S = 10.0


def numbers(values: dict[str, float]) -> str:
    """Figures of a progress event in a fixed order, for example `loss 0.0312 · validation accuracy 0.9912`."""
    known = [name for name in ORDER if name in values and name != "epoch"]
    rest = [name for name in values if name not in ORDER]
    return " · ".join(f"{name.replace('_', ' ')} {values[name]:.4g}" for name in (*known, *rest))


class BarReporter:
    """Rich bars; finished steps count, the current one shows beside the bar."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("[bold]{task.description:<11}"),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[now]}", style="dim", markup=False),
            console=console,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> "BarReporter":
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def plan(self, totals: dict[str, int]) -> None:
        """Adds a bar per line with its number of steps."""
        for group, total in totals.items():
            self._progress.update(self._task(group), total=total)

    def progress(self, step: Step, phase: str, done: float, total: float, values: dict[str, float]) -> None:
        """Moves the fraction of the current step."""
        share = f" {done / total:.0%}" if total else ""
        now = f"{step.label}: {phase}{share} {numbers(values)}"
        self._progress.update(self._task(step.group), now=now)

    def note(self, text: str) -> None:
        """Prints it above the bars."""
        self._progress.console.print(text, style="dim", markup=False, highlight=False)

    def log(self, step: Step, level: str, text: str) -> None:
        """Prints warnings and errors above the bars."""
        if level != "info":
            self._progress.console.print(f"{step.label}: {text}", style="yellow", markup=False)

    def finished(self, step: Step, outcome: Outcome, text: str) -> None:
        """Counts a step."""
        self._progress.advance(self._task(step.group))
        self._progress.update(self._task(step.group), now=f"{step.label}: {outcome} {text}")
        if outcome == "failed":
            self._progress.console.print(f"{step.spec.kind} {step.label} failed: {text}", style="red", markup=False)

    def _task(self, group: str) -> TaskID:
        if group not in self._tasks:
            self._tasks[group] = self._progress.add_task(group, total=1, now="")
        return self._tasks[group]


class LineReporter:
    """One line when a step ends, and one every ten seconds in between."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._start = time.monotonic()
        self._last: dict[str, float] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> "LineReporter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return

    def plan(self, totals: dict[str, int]) -> None:
        """Says how much there is to do."""
        self._say("plan: " + ", ".join(f"{count} {group}" for group, count in totals.items()))

    def progress(self, step: Step, phase: str, done: float, total: float, values: dict[str, float]) -> None:
        """A line every ten seconds per step."""
        now = time.monotonic()
        with self._lock:
            if now - self._last.setdefault(step.run_id, now) < PLAIN_EVERY_S:
                return
            self._last[step.run_id] = now
        share = f" {done / total:.0%}" if total else ""
        self._say(f"{step.spec.kind} {step.label}: {phase}{share} {numbers(values)}")

    def note(self, text: str) -> None:
        """One line."""
        self._say(text)

    def log(self, step: Step, level: str, text: str) -> None:
        """Every line."""
        self._say(f"{step.spec.kind} {step.label}: {level}: {text}")

    def finished(self, step: Step, outcome: Outcome, text: str) -> None:
        """One line."""
        self._say(f"{step.spec.kind} {step.label}: {outcome} {text}".rstrip())

    def _say(self, text: str) -> None:
        elapsed = time.monotonic() - self._start
        self._console.print(f"[{elapsed:7.1f} s] {text}", markup=False, highlight=False, soft_wrap=True)


def reporter(console: Console) -> BarReporter | LineReporter:
    """Bars on a terminal, lines elsewhere."""
    return BarReporter(console) if console.is_terminal else LineReporter(console)
