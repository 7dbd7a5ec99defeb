"""Managers of runs that are real processes: a small script that speaks core.worker's protocol."""

import asyncio
import json
import os
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from core.errors import InvalidInputError
from services.runs.executor import ChildProcessExecutor, Executor, ForkServerExecutor, Handle
from services.runs.manager import RunManager, Work
from services.runs.record import RunRecord

SCRIPT = "tests.unit.services.runs.worker_script"
EXECUTORS: dict[str, Executor] = {"new interpreters": ChildProcessExecutor(), "forks": ForkServerExecutor([SCRIPT])}
WAIT_S = 30.0


def accept(spec_json: str) -> tuple[str, str]:
    spec = json.loads(spec_json)
    if "do" not in spec:
        raise InvalidInputError("do: Field required")
    return "test", json.dumps(spec, sort_keys=True)


def manager(root: Path, slots: int = 1, done: Callable[[str], bool] = lambda run_id: True) -> RunManager:
    work = Work(accept, lambda folder, kind: [SCRIPT, str(folder)], done, lambda: (root / "left").unlink(True))
    return RunManager(root, work, EXECUTORS["chosen"], slots)


def spec(do: str) -> str:
    return json.dumps({"do": do})


def drive(root: Path, body: Callable[[RunManager], Awaitable[None]], slots: int = 1) -> None:
    """Runs `body` with a started manager and stops it, whatever happens."""

    async def main() -> None:
        runs = manager(root, slots)
        await runs.start()
        try:
            await body(runs)
        finally:
            await runs.stop()

    asyncio.run(main())


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        await asyncio.sleep(0.02)


async def finished(runs: RunManager, run_id: str) -> RunRecord:
    await until(lambda: runs.get(run_id).finished)
    return runs.get(run_id)


def processes_of(root: Path) -> list[str]:
    """Command lines of living processes that work below `root`."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and entry.name != str(os.getpid()):
            try:
                command = (entry / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if str(root) in command:
                found.append(command)
    return found


class Slow:
    """An executor whose starts take as long as the first import of a framework."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self.poll, self.signal = executor.poll, executor.signal
        self.begun, self.go = threading.Event(), threading.Event()

    def start(self, command: Sequence[str], log: Path) -> Handle:
        self.begun.set()
        assert self.go.wait(WAIT_S)
        return self._executor.start(command, log)
