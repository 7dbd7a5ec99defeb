"""A trainer service whose workers kill themselves, or a process that decodes for them, once, at the moment that their
run is named after.

`python -m tests.system.killed_worker` with the arguments of `services.trainer`. The SIGKILL is a real one; a worker
sends it because no other process could meet the middle of an epoch that lasts milliseconds.
"""

import multiprocessing
import os
import runpy
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from core.repository import ModelRepository
from core.schemas.metrics import EpochMetrics
from core.worker import RunFolder
from services.trainer import work
from trainer import training, worker
from trainer.framework import State

EPOCHS, STEPS = 2, 5
"""Killed after so many steps of the epoch after these."""


class KilledInAnEpoch(training.TrainingCallbacks):
    """Counts the steps of one epoch up to the fatal one."""

    steps = 0
    victim = staticmethod(os.getpid)

    def epoch(self, metrics: EpochMetrics, state: Callable[[], State]) -> None:
        """Keeps the checkpoint, as ever."""
        super().epoch(metrics, state)
        if metrics.epoch == EPOCHS:
            self.each_step = self.count

    def count(self, loss: float) -> None:
        """After every step."""
        self.steps += 1
        if self.steps == STEPS:
            os.kill(self.victim(), signal.SIGKILL)


class KillsADecoder(KilledInAnEpoch):
    """The training itself is not touched."""

    victim = staticmethod(lambda: multiprocessing.active_children()[0].pid or 0)


def in_an_epoch() -> None:
    """Every epoch is worth a checkpoint here."""
    training.CHECKPOINT_EVERY_S = 0.0
    training.TrainingCallbacks = KilledInAnEpoch  # type: ignore[misc]


def of_a_decoder() -> None:
    """The same moment."""
    training.CHECKPOINT_EVERY_S = 0.0
    training.TrainingCallbacks = KillsADecoder  # type: ignore[misc]


def in_the_export() -> None:
    """The last checkpoint is kept and the model exported, but not yet published."""
    ModelRepository.publish = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[method-assign]


MOMENTS = {"in-an-epoch": in_an_epoch, "of-a-decoder": of_a_decoder, "in-the-export": in_the_export}


def main() -> None:
    """The worker."""
    run = RunFolder(Path(sys.argv[1]))
    if run.run_id in MOMENTS and run.attempt() == 1:
        MOMENTS[run.run_id]()
    worker.main()


if __name__ == "__main__":
    work.WORKER = "tests.system.killed_worker"
    runpy.run_module("services.trainer", run_name="__main__", alter_sys=True)
