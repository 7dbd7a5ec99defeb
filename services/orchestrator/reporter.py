"""What the orchestrator tells while it works. The CLI shows it; tests collect it."""

from typing import Literal, Protocol

from services.orchestrator.steps import Step

Outcome = Literal["done", "already done", "stopped", "failed"]


class Reporter(Protocol):
    """Receives what happens, from any thread."""

    def plan(self, totals: dict[str, int]) -> None:
        """How many steps each progress line (`Step.group`) will have, as far as known; may be called again."""

    def progress(self, step: Step, phase: str, done: float, total: float, values: dict[str, float]) -> None:
        """A step advanced."""

    def note(self, text: str) -> None:
        """A line for people about the whole of it."""

    def log(self, step: Step, level: str, text: str) -> None:
        """A line for people."""

    def finished(self, step: Step, outcome: Outcome, text: str) -> None:
        """A step ended."""
