"""Callbacks of a training that keep everything."""

from collections.abc import Callable

from core.errors import CancelledError
from core.schemas.results import EpochMetrics
from trainer.framework import State


class Recorder:
    """Callbacks that keep everything; `cancel` stops at the first step."""

    def __init__(self, resume: State | None = None, resume_epoch: int = 0, cancel: bool = False) -> None:
        self.resume, self.resume_epoch, self._cancel = resume, resume_epoch, cancel
        self.steps: list[tuple[int, int, int]] = []
        self.metrics: list[EpochMetrics] = []
        self.states: list[State] = []

    def step(self, epoch: int, done: int, total: int, loss: float | None) -> None:
        self.steps.append((epoch, done, total))
        if self._cancel:
            raise CancelledError("stopped by the test")

    def epoch(self, metrics: EpochMetrics, state: Callable[[], State]) -> None:
        self.metrics.append(metrics)
        self.states.append(state())
