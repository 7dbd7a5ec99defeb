"""How far an experiment is, as the command that drives it keeps it in the home folder: `experiments/<name>.json`."""

from pathlib import Path
from typing import Literal

from core.schemas.base import Schema

COURSES = "experiments"
"""Folder of all courses in the home folder."""
CourseOutcome = Literal["done", "failed", "interrupted"]


class StepsDone(Schema):
    """Steps of one kind, or trainings of one framework."""

    group: str
    done: int
    """Ended, well or not."""
    total: int
    """As far as it is planned: what is measured is known once there is something to measure."""


class StepNow(Schema):
    """A step in work."""

    label: str
    phase: str
    done: float
    """Of `total`, in the phase's own unit."""
    total: float
    """0 where it is not known."""


class Course(Schema):
    """One run of an experiment. Times are seconds since 1970."""

    schema_version: Literal[1] = 1
    name: str
    """Folder of its report."""
    title: str
    command: str
    """What goes on with it, for a shell in `directory`."""
    directory: str
    host: str
    """Where the command runs."""
    started: float
    updated: float
    steps: tuple[StepsDone, ...] = ()
    now: tuple[StepNow, ...] = ()
    failed: tuple[str, ...] = ()
    """One line for each step that failed; the others went on."""
    outcome: CourseOutcome | None = None
    """None while the command runs, and for ever where it was killed: `lock_path` tells which."""
    reason: str = ""
    """Why it failed."""


def course_path(folder: Path, name: str) -> Path:
    """Where the course of an experiment is kept, below the folder of all of them."""
    return folder / f"{name}.json"


def lock_path(folder: Path, name: str) -> Path:
    """A file that the command keeps locked while it runs: the kernel lets go of it, however the command ends."""
    return folder / f".{name}.lock"
