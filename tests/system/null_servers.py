"""Servers that compute nothing, as processes of their own."""

import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
NullServer = Callable[..., "tuple[subprocess.Popen[str], str]"]


@contextlib.contextmanager
def null_servers() -> Iterator[NullServer]:
    """Starts null servers of 4×5×1 images and three classes; returns process and target."""
    processes = []

    def start(*options: str) -> "tuple[subprocess.Popen[str], str]":
        command = [sys.executable, "-m", "loadtests.null_server", "--shape", "4,5,1", "--classes", "3", *options]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        processes.append(process)
        assert process.stdout is not None
        return process, process.stdout.readline().strip()

    try:
        yield start
    finally:
        for process in processes:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()
