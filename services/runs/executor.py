"""Starts, polls and stops worker processes. Child processes here; the interface leaves room for other places.

A worker is a Python module with a `main()`, and its arguments. Two ways to start one: a new interpreter each, or a fork
of one that has imported the framework already. The second saves what an import costs (TensorFlow: four seconds) for all
but the first run. It needs a system where forking such a process is safe: Linux, and nothing computed before the fork.
"""

import atexit
import contextlib
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import IO, Protocol, cast

import setproctitle

logger = logging.getLogger(__name__)


NOT_KNOWN = 255
"""What multiprocessing says of a fork whose fork server is gone, running or not: ended by force, then."""


class Handle(Protocol):
    """A started worker; opaque to callers."""


class Executor(Protocol):
    """Where workers run."""

    def start(self, command: Sequence[str], log: Path) -> Handle:
        """Starts a worker, a module's name and its arguments, whose output is appended to `log`. May take seconds."""

    def poll(self, handle: Handle) -> int | None:
        """Exit status, negative for a signal; None while it runs."""

    def signal(self, handle: Handle, force: bool) -> None:
        """Asks a worker and everything it started to stop (SIGTERM), or ends them (SIGKILL)."""


def choose(preload: Sequence[str], warm: bool) -> Executor:
    """The executor for workers that import the modules `preload`; `warm` asks for forks where they are safe."""
    return ForkServerExecutor(preload) if warm and sys.platform == "linux" else ChildProcessExecutor()


@dataclass(frozen=True)
class ChildProcess:
    """A child in a process group of its own."""

    process: "subprocess.Popen[bytes]"


class ChildProcessExecutor:
    """Workers as child processes that end when this process does: they watch the pipe on their standard input."""

    def start(self, command: Sequence[str], log: Path) -> ChildProcess:
        """Starts a new interpreter in a new session."""
        with log.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", *command],
                stdin=subprocess.PIPE,
                stdout=cast(IO[bytes], output),
                stderr=subprocess.STDOUT,
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
        _signal_group(cast(ChildProcess, handle).process.pid, force)


@dataclass(frozen=True)
class Fork:
    """A fork of the prepared process, in a process group of its own."""

    process: ForkServerProcess
    input: Connection
    """Our end of the pipe on its standard input; closed once it has ended."""


class ForkServerExecutor:
    """Workers as forks of one process that has imported what they need, through `multiprocessing`'s fork server.

    That process starts with the first worker, computes nothing, and ends with this one. Python keeps one fork server a
    process, so all executors of a service share it.
    """

    def __init__(self, preload: Sequence[str]) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([__name__, *preload])
        self._fresh = ChildProcessExecutor()
        self._inputs: set[Connection] = set()
        # Before multiprocessing waits for its children at exit: without their input they end.
        atexit.register(self._close_inputs)

    def start(self, command: Sequence[str], log: Path) -> Fork | ChildProcess:
        """Forks; the first call waits for the imports. Without a process to fork from, a new interpreter.

        So whatever ends that process, such as too little memory, is found out, and named, as for any worker.
        """
        log.open("ab").close()  # An error about the file is the caller's, not the child's.
        theirs, ours = self._context.Pipe(duplex=False)
        process = self._context.Process(target=_run_module, args=(tuple(command), str(log), theirs))
        try:
            process.start()
        except (EOFError, ConnectionError):
            ours.close()
            logger.warning("the process that workers are forked from has ended; starting a new interpreter")
            return self._fresh.start(command, log)
        finally:
            theirs.close()
        self._inputs.add(ours)
        return Fork(process, ours)

    def poll(self, handle: Handle) -> int | None:
        """Exit status or None; a worker that ended takes what it started with it."""
        if isinstance(handle, ChildProcess):
            return self._fresh.poll(handle)
        fork = cast(Fork, handle)
        status = fork.process.exitcode
        if status == NOT_KNOWN:
            status = -signal.SIGKILL
        if status is not None and not fork.input.closed:
            self._inputs.discard(fork.input)
            fork.input.close()
            self.signal(handle, force=True)
        return status

    def signal(self, handle: Handle, force: bool) -> None:
        """Signals the whole process group; a group that is gone is fine."""
        pid = cast(Fork | ChildProcess, handle).process.pid
        assert pid is not None  # It was started.
        _signal_group(pid, force)

    def _close_inputs(self) -> None:
        while self._inputs:
            self._inputs.pop().close()


def _signal_group(pid: int, force: bool) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL if force else signal.SIGTERM)


def _run_module(command: tuple[str, ...], log: str, standard_input: Connection) -> None:
    """In the fork: becomes what `python -m MODULE …` in a session of its own would be."""
    os.setsid()
    os.dup2(standard_input.fileno(), 0)
    standard_input.close()
    sys.stdin = open(0, closefd=False)  # noqa: SIM115  for as long as the process lives
    output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for descriptor in (1, 2):
        os.dup2(output, descriptor)
    os.close(output)
    setproctitle.setproctitle(" ".join([sys.executable, "-m", *command]))  # What `ps` shows.
    sys.argv = list(command)
    import_module(command[0]).main()
