"""Runs one load test as a process: `python -m loadtests RUN_DIR`."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from core import files
from core.errors import BakeoffError
from core.schemas.specs import LoadTestSpec
from core.worker import EVENTS, RESULT, SPEC

POLL_S = 0.1
STOP_GRACE_S = 2.0


def run(folder: Path, spec: LoadTestSpec, flags: dict[str, str], on_progress: Callable[[dict[str, Any]], None]) -> Path:
    """Runs the load test in `folder` and returns the path of its result.

    Raises:
        BakeoffError: it failed; the message is what it printed last.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in (EVENTS, RESULT):
        (folder / name).unlink(missing_ok=True)
    files.write_text(folder / SPEC, spec.model_dump_json())
    arguments = [part for key, value in flags.items() for part in (f"--{key}", value)]
    log = folder / "loadtest.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "loadtests", str(folder), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        status = _follow(process, folder / EVENTS, on_progress)
    finally:
        _end(process)
    if status != 0 or not (folder / RESULT).is_file():
        raise BakeoffError(f"load test failed: {_last_line(log)} (see {log})")
    return folder / RESULT


def _follow(process: "subprocess.Popen[bytes]", events: Path, on_progress: Callable[[dict[str, Any]], None]) -> int:
    seen = 0
    while (status := process.poll()) is None:
        lines = events.read_text().splitlines(keepends=True) if events.is_file() else []
        complete = [line for line in lines if line.endswith("\n")]
        for line in complete[seen:]:
            on_progress(json.loads(line))
        seen = len(complete)
        time.sleep(POLL_S)
    return status


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Leaves no process behind, whatever interrupted the wait."""
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _last_line(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "no output"
