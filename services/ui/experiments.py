"""What is known of every experiment of a home folder: reports, and how far those are that have none."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from core import files
from core.errors import InvalidInputError
from core.schemas.base import parse_json
from core.schemas.course import Course, course_path, lock_path
from core.schemas.experiment import Experiment
from core.schemas.summary import Summary, parse_summary

Found = dict[str, Any]
FROZEN = "experiment.json"


class Experiments:
    """Reads three folders; a page may ask as often as it likes, what did not change is not read again.

    Args:
        reports: a folder with `summary.json` for each experiment that has a report.
        courses: a file for each experiment, written while it runs.
        frozen: the experiments that were ever begun, as the store holds them; None where the store is no folder.
    """

    def __init__(self, reports: Path, courses: Path, frozen: Path | None) -> None:
        self._reports, self._courses, self._frozen = reports, courses, frozen
        self._known: dict[Path, tuple[tuple[int, int], Found]] = {}

    def all(self) -> list[Found]:
        """One for each name, those that run first, then the newest. What cannot be read says why."""
        found: dict[str, Found] = {}
        for path in self._reports.glob("[!.]*/summary.json"):
            self._add(found, path.parent.name, self._cached(path, _report))
        for path in self._courses.glob("[!.]*.json"):
            self._add(found, path.stem, course_of(self._courses, path.stem))
        for name, one in self._begun():
            if name not in found:
                self._add(found, name, one)
        return sorted(found.values(), key=lambda one: (one.get("state") != "running", -one["changed"]))

    def _begun(self) -> Iterator[tuple[str, Found]]:
        """Experiments of the store; an earlier version kept nothing else of one that has no report."""
        for path in self._frozen.glob(f"[!.]*/{FROZEN}") if self._frozen else ():
            one = self._cached(path, _begun)
            if "name" in one:
                yield one["name"], one

    def _add(self, found: dict[str, Found], name: str, one: Found) -> None:
        known = found.setdefault(name, {"name": name, "title": name, "changed": 0.0})
        changed = max(known["changed"], one.get("changed", 0.0))
        known |= {**one, "title": one.get("title") or known["title"], "changed": changed}

    def _cached(self, path: Path, read: Any) -> Found:
        try:
            stat = path.stat()
        except FileNotFoundError:  # A report is just being replaced.
            return {}
        key = (stat.st_mtime_ns, stat.st_size)
        if (known := self._known.get(path)) and known[0] == key:
            return known[1]
        found: Found = {**read(path), "changed": stat.st_mtime}
        self._known[path] = (key, found)
        return found


def course_of(folder: Path, name: str) -> Found:
    """How far an experiment is; its state is `running` where its command is seen to live, and nowhere else.

    `running`, `done`, `failed`, `interrupted`; `unfinished` where the command is gone and did not say why; `elsewhere`
    where another machine ran it last and what became of it cannot be seen from here.
    """
    try:
        course = _read(folder, name)
        if course.outcome is None and not files.locked(lock_path(folder, name)):
            course = _read(folder, name)  # It may have ended well between the two looks.
            state: str = course.outcome or ("unfinished" if course.host == socket.gethostname() else "elsewhere")
        else:
            state = course.outcome or "running"
    except InvalidInputError as error:
        return {"course_error": str(error)}
    except FileNotFoundError:
        return {}
    return {
        "title": course.title,
        "changed": course.updated,
        "state": state,
        "started": course.started,
        "updated": course.updated,
        "steps": [[one.group, one.done, one.total] for one in course.steps],
        "now": [one.model_dump() for one in course.now],
        "failed": list(course.failed),
        "reason": course.reason,
        "command": course.command,
        "directory": course.directory,
        "host": course.host,
    }


def _read(folder: Path, name: str) -> Course:
    path = course_path(folder, name)
    return parse_json(Course, path.read_bytes(), str(path))


def _report(path: Path) -> Found:
    try:
        return {"report": True, **_headline(parse_summary(path.read_bytes(), str(path)))}
    except InvalidInputError as error:
        return {"error": str(error)}


def _begun(path: Path) -> Found:
    try:
        experiment = parse_json(Experiment, path.read_bytes(), str(path))
    except InvalidInputError:  # Of another version: nobody can say what its report would be called.
        return {}
    return {"name": experiment.report_name, "title": experiment.title, "state": "begun"}


def _headline(summary: Summary) -> Found:
    return {
        "title": summary.title,
        "headline": summary.verdict.headline,
        "picks": [[pick.title, pick.value] for pick in summary.verdict.picks],
        "trainings": len(summary.trainings),
        "artefacts": len(summary.rows),
        "missing": len(summary.missing),
    }
