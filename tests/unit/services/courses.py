"""Courses of experiments that never ran, and commands that hold their locks."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from core import files
from core.schemas.course import COURSES, Course, StepNow, StepsDone, course_path, lock_path
from core.schemas.experiment import Experiment
from services.orchestrator.experiment_file import read_experiment

HOLD = """
import sys, time
from pathlib import Path
from core import files
handle = files.lock(Path(sys.argv[1]), "busy")
print("held", flush=True)
time.sleep(600)
"""


def experiment(name: str = "digits", *overrides: str) -> Experiment:
    """The demo under another name."""
    return read_experiment(Path("experiments/digits.yaml"), (f"name={name}", *overrides))


def write_course(home: Path, name: str, **changes: Any) -> Course:
    """The course of an experiment that is in the middle of its second training."""
    values: dict[str, Any] = {
        "name": name,
        "title": f"The {name} experiment",
        "command": f"bakeoff run experiments/{name}.yaml --set seeds=[0]",
        "directory": "/home/somebody/work",
        "host": socket.gethostname(),
        "started": time.time() - 200,
        "updated": time.time() - 1,
        "steps": (
            StepsDone(group="prepare", done=1, total=1),
            StepsDone(group="keras", done=1, total=2),
            StepsDone(group="pytorch", done=0, total=2),
        ),
        "now": (StepNow(label="train matched keras s1", phase="train", done=3, total=12),),
    }
    course = Course.model_validate(values | changes)
    files.write_json(course_path(home / COURSES, name), course)
    return course


def freeze_experiment(home: Path, name: str) -> None:
    """Leaves what an earlier version left of an experiment that it did not end."""
    files.write_json(home / "store/experiments" / f"{name}-0123456789abcdef" / "experiment.json", experiment(name))


@contextmanager
def running(home: Path, name: str) -> Iterator["subprocess.Popen[str]"]:
    """A process that holds an experiment's lock, as `bakeoff run` does; killed at the end, if it still lives."""
    path = lock_path(home / COURSES, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
