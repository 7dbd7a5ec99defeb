"""A worker for tests: does what its spec says, through the real protocol of core.worker."""

import errno
import json
import os
import resource
import signal
import sys
import time
from pathlib import Path

import pydantic

from core import files, worker
from core.errors import InvalidInputError

GRAPH = """Graph execution error:

Detected at node zeros defined at (most recent call last):
  File "train.py", line 7, in <module>

shapes do not match
\t [[{{node zeros}}]]
 [Op:__inference_f_13]"""
"""As TensorFlow tells what went wrong."""
LOADER = """Caught ValueError in DataLoader worker process 0.
Original Traceback (most recent call last):
  File "loader.py", line 7, in <module>
ValueError: a truncated file
"""
"""As torch tells what went wrong in a process that decodes."""
LIMITS = {"no room": 4096, "no room at all": 0}
"""Bytes that a file may have: what a disk has left, for this process alone."""


class Result(pydantic.BaseModel):
    """What the worker made."""

    attempts: int


def work(run: worker.RunFolder) -> None:
    """Follows spec["do"]."""
    what = json.loads(run.spec())["do"]
    count = run.path / "attempts"
    attempts = int(count.read_text()) + 1 if count.exists() else 1
    files.write_text(count, str(attempts))
    run.progress("work", 0, 2, "steps", attempt=attempts)
    if what == "fail":
        raise InvalidInputError("the spec asked for a failure")
    if what == "crash":
        print("some library's last words, at the end", file=sys.stderr)
        raise RuntimeError("a bug")
    if what == "crash in a graph":
        raise RuntimeError(GRAPH)
    if what == "crash in a loader":
        raise ValueError(LOADER)
    if what in LIMITS:
        resource.setrlimit(resource.RLIMIT_FSIZE, (LIMITS[what], LIMITS[what]))
        files.write_bytes(run.path / "checkpoints" / "1", bytes(1 << 20))
    if what == "no right":
        raise PermissionError(errno.EACCES, "Permission denied", "/data/photos")
    if what.startswith("SIG"):
        os.kill(os.getpid(), signal.Signals[what])
        time.sleep(10)
    if (what == "die once" and attempts == 1) or what == "die always":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "die with progress":
        files.write_text(run.path / "checkpoints" / f"{attempts}", "x")
        if attempts < 6:
            os.kill(os.getpid(), signal.SIGKILL)
    if what == "leave something":
        (run.path / "pid").write_text(str(os.getpid()))
        (run.path.parent / "left").touch()
    if what in ("ignore signals", "leave something"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            time.sleep(0.05)
    while what == "sleep" and not (run.path / "go").exists():
        run.progress("work", 1, 2, "steps")
        time.sleep(0.02)
    run.progress("work", 2, 2, "steps")
    run.finish(Result(attempts=attempts))


def main() -> None:
    """As the workers of the services do."""
    worker.main(work, Path(sys.argv[1]))


if __name__ == "__main__":
    main()
