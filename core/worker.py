"""How a worker process speaks: only through files in its run folder.

`spec.json` in; `events.jsonl` (one JSON object a line), checkpoints and `result.json` out; `error.json` if it gives up.
The service that started it holds its standard input open: end of file there means that the service is gone, and the
worker ends too.
"""

import json
import logging
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

import pydantic

from core import disk, files
from core.errors import BakeoffError, CancelledError, KilledError

SPEC, EVENTS, RESULT, ERROR, CHECKPOINTS = "spec.json", "events.jsonl", "result.json", "error.json", "checkpoints"
WORK = "work"
"""Folder of what an attempt makes on its way and nobody needs afterwards."""
EXIT_NAMED_ERROR = 3
"""Exit status when `error.json` says why; the service does not try again."""
EXIT_CANNOT_WRITE = 4
"""Exit status when there is no room, or no right, to write; `error.json` may be missing then."""
GOES_ON = "a training goes on from its checkpoint"
PROGRESS_EVERY_S = 0.2


class Failure(pydantic.BaseModel):
    """Why a worker gave up."""

    kind: str = ""
    """Class of core.errors; empty for what nobody foresaw."""
    text: str = ""


class RunFolder:
    """The worker's side of a run folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.run_id = path.name
        self.cancelled = threading.Event()
        self._phase = ""
        self._told: dict[str, float] = {}
        """When the phase last told of each of its units."""

    def spec(self) -> bytes:
        """The spec as the service accepted it."""
        return (self.path / SPEC).read_bytes()

    def attempt(self) -> int:
        """Which attempt this is, from 1."""
        path = self.path / EVENTS
        lines = path.read_text().splitlines() if path.is_file() else []
        return max(1, sum('"state": "running"' in line for line in lines))

    def progress(self, phase: str, done: float, total: float, unit: str, **values: float) -> None:
        """Tells how far a phase is, of each unit at most five times a second apart from its end.

        Steps come that often by themselves: they must not be why an epoch is never told.

        Raises:
            CancelledError: somebody asked the run to stop.
        """
        if self.cancelled.is_set():
            raise CancelledError("stopped on request")
        now = time.monotonic()
        if phase != self._phase:
            self._phase, self._told = phase, {}
        if unit in self._told and done < total and now - self._told[unit] < PROGRESS_EVERY_S:
            return
        self._told[unit] = now
        self._event(progress={"phase": phase, "done": done, "total": total, "unit": unit, "values": values})

    def log(self, level: str, text: str) -> None:
        """Adds one line for people."""
        self._event(log={"level": level, "text": text})

    def finish(self, result: pydantic.BaseModel) -> None:
        """Writes the result; the run has succeeded once the process ends with 0."""
        files.write_json(self.path / RESULT, result)

    def clear(self) -> None:
        """Removes what was needed on the way."""
        shutil.rmtree(self.path / WORK, ignore_errors=True)

    def _event(self, **event: object) -> None:
        append_event(self.path, event)


def append_event(run: Path, event: dict[str, object]) -> None:
    """Appends one line to a run's events with the time in seconds since 1970. There is one writer at a time."""
    line = json.dumps({"time": time.time(), **event}) + "\n"
    with (run / EVENTS).open("a") as file:
        file.write(line)


def main(work: Callable[[RunFolder], None], folder: Path) -> None:
    """Runs `work` on a run folder and ends the process with the status the service expects."""
    run = RunFolder(folder)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    signal.signal(signal.SIGTERM, lambda number, frame: _request_stop(run, number, frame))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole terminal; the service decides.
    threading.Thread(target=_end_with_service, daemon=True).start()
    try:
        # A worker of a service that was killed may still be leaving its last native call.
        held = files.lock(folder / ".lock", busy=None)
        work(run)
    except KilledError:
        # The service looks for the reason and tries again, as with every worker that is killed.
        logging.getLogger(__name__).exception("the run broke off")
        os.kill(os.getpid(), signal.SIGKILL)
    except BakeoffError as error:
        _give_up(folder, EXIT_NAMED_ERROR, Failure(kind=type(error).__name__, text=str(error)))
    except BaseException as error:
        logging.getLogger(__name__).exception("the run broke off")
        if unwritable := disk.meaning(error, folder):
            _give_up(
                folder, EXIT_CANNOT_WRITE, Failure(kind=type(unwritable).__name__, text=f"{unwritable}; {GOES_ON}")
            )
        _give_up(folder, 1, Failure(text=_first_line(error)))
    held.close()
    _leave(0)


def _give_up(folder: Path, status: int, why: Failure) -> NoReturn:
    try:
        files.write_json(folder / ERROR, why)
    except OSError:
        status = EXIT_CANNOT_WRITE
    _leave(status)


def _first_line(error: BaseException) -> str:
    """Type and first line of an exception. TensorFlow's begin with headings and a traceback: those are left out.

    What torch raises of a loader's process ends with that process's own last line.
    """
    lines = [line for line in str(error).splitlines() if line.strip()]
    if any(line.startswith("Original Traceback") for line in lines):
        return lines[-1]
    headings = (" ", "\t", "<", "Exception encountered")
    told = [line for line in lines if not line.startswith(headings) and line[-1] != ":"]
    return ": ".join([type(error).__name__, *(told or lines)[:1]])


def _request_stop(run: RunFolder, _number: int, _frame: FrameType | None) -> None:
    run.cancelled.set()


def _end_with_service() -> None:
    """Blocks on standard input, which the service never writes to, until the service is gone."""
    if sys.stdin is None or sys.stdin.isatty():
        return
    while os.read(sys.stdin.fileno(), 1):
        pass
    os._exit(1)


def _leave(status: int) -> NoReturn:
    """Ends at once: some frameworks crash while they tear down threads, after the work is done."""
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    os._exit(status)
