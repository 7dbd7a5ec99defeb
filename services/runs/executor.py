"""Starts, polls and stops worker processes. Child processes here; the interface leaves room for other places."""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol, cast


class Handle(Protocol):
    """A started worker; opaque to callers."""


class Executor(Protocol):
    """Where workers run."""

    def start(self, command: Sequence[str], log: Path, environment: Mapping[str, str]) -> Handle:
        """Starts a worker whose output goes to `log`."""

    def poll(self, handle: Handle) -> int | None:
        """Exit status, negative for a signal; None while it runs."""

    def signal(self, handle: Handle, force: bool) -> None:
        """Asks a worker and everything it started to stop (SIGTERM), or ends them (SIGKILL)."""


@dataclass(frozen=True)
class ChildProcess:
    """A child in a process group of its own."""

    process: "subprocess.Popen[bytes]"


class ChildProcessExecutor:
    """Workers as child processes that end when this process does: they watch the pipe on their standard input."""

    def start(self, command: Sequence[str], log: Path, environment: Mapping[str, str]) -> ChildProcess:
        """Starts `command` in a new session, appending its output to `log`."""
        with log.open("ab") as output:
            process = subprocess.Popen(
                list(command),
                stdin=subprocess.PIPE,
                stdout=cast(IO[bytes], output),
                stderr=subprocess.STDOUT,
                env={**os.environ, **environment},
                start_new_session=True,
            )
        return ChildProcess(process)

    def poll(self, handle: Handle) -> int | None:
        """Exit status or None; a worker that ended takes what it started with it."""
        process = cast(ChildProcess, handle).process
        status = process.poll()
        if status is not None and process.stdin and not process.stdin.closed:
            process.stdin.close()
            self.signal(handle, force=True)
        return status

    def signal(self, handle: Handle, force: bool) -> None:
        """Signals the whole process group; a group that is gone is fine."""
        process = cast(ChildProcess, handle).process
        try:
            os.killpg(process.pid, signal.SIGKILL if force else signal.SIGTERM)
        except ProcessLookupError:
            return
