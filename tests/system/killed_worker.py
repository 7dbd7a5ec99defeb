"""A trainer service whose workers kill themselves once, at the moment that their run is named after.

`python -m tests.system.killed_worker` with the arguments of `services.trainer`. The SIGKILL is a real one; a worker
sends it to itself because no other process could meet the middle of an epoch that lasts milliseconds.
"""

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

    def epoch(self, metrics: EpochMetrics, state: Callable[[], State]) -> None:
        """Keeps the checkpoint, as ever."""
        super().epoch(metrics, state)
        if metrics.epoch == EPOCHS:
            steps = iter(range(1, STEPS))
            self.each_step = lambda loss: kill() if next(steps, None) is None else None


def in_an_epoch() -> None:
    """Every epoch is worth a checkpoint here."""
    training.CHECKPOINT_EVERY_S = 0.0
    training.TrainingCallbacks = KilledInAnEpoch  # type: ignore[misc]


def in_the_export() -> None:
    """The last checkpoint is kept and the model exported, but not yet published."""
    ModelRepository.publish = lambda *arguments: kill()  # type: ignore[method-assign]


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


MOMENTS = {"in-an-epoch": in_an_epoch, "in-the-export": in_the_export}


def main() -> None:
    """The worker."""
    run = RunFolder(Path(sys.argv[1]))
    if run.run_id in MOMENTS and run.attempt() == 1:
        MOMENTS[run.run_id]()
    worker.main()


if __name__ == "__main__":
    work.WORKER = "tests.system.killed_worker"
    runpy.run_module("services.trainer", run_name="__main__", alter_sys=True)
