"""The service's side of a run folder: `run.json`, and the events as they are on disk."""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pydantic

from core import files
from core.schemas.base import parse_json
from core.worker import CHECKPOINTS, ERROR, EVENTS, RESULT, SPEC, Failure, append_event

State = Literal["queued", "running", "succeeded", "failed", "cancelled"]
TERMINAL: tuple[State, ...] = ("succeeded", "failed", "cancelled")
RECORD, LOG = "run.json", "worker.log"


class Record(pydantic.BaseModel):
    """What the service remembers of a run; every change is written before it is acted on."""

    model_config = pydantic.ConfigDict(extra="forbid")

    id: str
    kind: str
    state: State = "queued"
    attempts: int = 0
    idle_attempts: int = 0
    """Attempts in a row that ended without a new checkpoint."""
    mark: str = ""
    """Newest checkpoint when the last attempt began."""
    error: str = ""
    error_kind: str | None = None
    """Class of core.errors, empty where nobody foresaw the reason; None without a failure, or of an older version."""
    create_time: float
    start_time: float = 0.0
    end_time: float = 0.0


@dataclass
class RunRecord:
    """A record and its folder."""

    folder: Path
    record: Record

    @classmethod
    def create(cls, folder: Path, kind: str, spec_json: str) -> "RunRecord":
        """Makes the folder of a new run appear with its spec and record in it."""
        run = cls(folder, Record(id=folder.name, kind=kind, create_time=time.time()))
        with files.staged_directory(folder) as staging:
            files.write_text(staging / SPEC, spec_json)
            files.write_json(staging / RECORD, run.record)
        run.enter("queued")
        return run

    @classmethod
    def read(cls, folder: Path) -> "RunRecord":
        """Reads a run from disk."""
        path = folder / RECORD
        return cls(folder, parse_json(Record, path.read_bytes(), str(path)))

    def enter(self, state: State, message: str = "", kind: str = "") -> None:
        """Changes the state, on disk first, and adds the event.

        Args:
            message: for people; why, where the run failed.
            kind: of the error behind a failure.
        """
        now, changed = time.time(), self.record.model_copy()
        changed.state = state
        changed.error, changed.error_kind = (message, kind) if state == "failed" else ("", None)
        if state == "running":
            changed.attempts += 1
            changed.start_time = changed.start_time or now
        changed.end_time = now if state in TERMINAL else 0.0
        files.write_json(self.folder / RECORD, changed)
        self.record = changed
        drop_torn_event(self.folder)
        append_event(self.folder, {"state_change": {"state": state, "message": message}})

    @property
    def finished(self) -> bool:
        return self.record.state in TERMINAL

    def spec_json(self) -> str:
        return (self.folder / SPEC).read_text()

    def result_json(self) -> str:
        """The result document; empty before the run has succeeded."""
        path = self.folder / RESULT
        return path.read_text() if self.record.state == "succeeded" and path.is_file() else ""

    def told_error(self) -> Failure:
        """Why the worker gave up: a reason it can name, or type and first line of an exception; empty where it was
        killed, or could not write it."""
        path = self.folder / ERROR
        if not path.is_file():
            return Failure()
        try:
            return Failure.model_validate_json(text := path.read_text(errors="replace"))
        except pydantic.ValidationError:
            return Failure(text=text)

    def forget_outcome(self) -> None:
        """Clears what the last attempt left, its checkpoints apart."""
        for name in (ERROR, RESULT):
            (self.folder / name).unlink(missing_ok=True)

    def checkpoint_mark(self) -> str:
        """Changes whenever a checkpoint was written."""
        folder = self.folder / CHECKPOINTS
        entries = sorted(folder.iterdir()) if folder.is_dir() else []
        return ";".join(f"{p.name}:{p.stat().st_mtime_ns}" for p in entries if not p.name.startswith("."))

    def has_result(self) -> bool:
        return (self.folder / RESULT).is_file()

    def last_log_line(self) -> str:
        """The last line the worker printed."""
        path = self.folder / LOG
        lines = path.read_text(errors="replace").splitlines() if path.is_file() else []
        return next((line.strip() for line in reversed(lines) if line.strip()), "no output")


def drop_torn_event(folder: Path) -> None:
    """Cuts off a last line that a killed worker left without its end."""
    path = folder / EVENTS
    if not path.is_file() or not (data := path.read_bytes()) or data.endswith(b"\n"):
        return
    with path.open("r+b") as file:
        file.truncate(data.rfind(b"\n") + 1)


class EventReader:
    """Reads events from a number on, remembering where it stopped; a line without its end is not there yet."""

    def __init__(self, folder: Path, after: int) -> None:
        self._path = folder / EVENTS
        self._offset = 0
        self._number = 0
        self._after = after

    def new(self) -> list[tuple[int, dict[str, Any]]]:
        """Events that have come since the last call, as (number, event)."""
        if not self._path.is_file():
            return []
        with self._path.open("rb") as file:
            file.seek(self._offset)
            data = file.read()
        complete = data[: data.rfind(b"\n") + 1]
        self._offset += len(complete)
        found = []
        for line in complete.splitlines():
            self._number += 1
            if self._number > self._after:
                found.append((self._number, json.loads(line)))
        return found


def count_events(folder: Path) -> int:
    """Number of the newest event."""
    path = folder / EVENTS
    return path.read_bytes().count(b"\n") if path.is_file() else 0
