"""Callbacks of a training that keep everything."""

from collections.abc import Callable

from core.errors import CancelledError
from core.schemas.metrics import EpochMetrics
from trainer.framework import State


class Recorder:
    """Callbacks that keep everything; `cancel` ends it with the first step, `stop_after` wants no epoch after that one,
    `watch` hears of each epoch's end."""

    def __init__(
        self,
        resume: State | None = None,
        resume_epoch: int = 0,
        cancel: bool = False,
        watch: Callable[[int], None] = lambda epoch: None,
        stop_after: int | None = None,
    ) -> None:
        self.resume, self.resume_epoch = resume, resume_epoch
        self._cancel, self._watch, self._stop_after = cancel, watch, stop_after
        self.steps: list[tuple[int, int, int]] = []
        self.metrics: list[EpochMetrics] = []
        self.states: list[State] = []
        self.history = self.metrics
        self.each_step: Callable[[float], None] | None = None
        self.stopped = False

    def step(self, epoch: int, done: int, total: int, loss: float | None) -> None:
        self.steps.append((epoch, done, total))
        if self._cancel:
            raise CancelledError("stopped by the test")

    def epoch(self, metrics: EpochMetrics, state: Callable[[], State]) -> None:
        self.metrics.append(metrics)
        self.states.append(state())
        self._watch(metrics.epoch)
        self.stopped |= metrics.epoch == self._stop_after
