"""A worker for tests: does what its spec says, through the real protocol of core.worker."""

import json
import os
import signal
import sys
import time
from pathlib import Path

import pydantic

from core import files, worker
from core.errors import InvalidInputError


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
        raise RuntimeError("a bug")
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
