"""What the control group says about memory: its limit, and how often it ended a process for lack of it. And what the C
library does with memory that a process frees."""

import os
from pathlib import Path

from core.schemas.names import Framework

CGROUP = Path("/sys/fs/cgroup")
UNLIMITED = 1 << 60
"""Version 1 writes a huge number instead of a word."""
MALLOC = ("GLIBC_TUNABLES", "LD_PRELOAD", "MALLOC_")
"""How the names of variables begin that set up malloc, or put another one in its place."""
ALLOCATING_ANEW: tuple[Framework, ...] = ("pytorch", "fastai")
"""Frameworks that allocate in every step what they free after it, on the CPU: how long that takes is up to malloc."""
KEEP_FREED = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1)}
"""glibc's settings (mallopt(3)) for no memory of mmap's, which goes back when freed, and none trimmed off the heap."""


def limit_bytes(cgroup: Path = CGROUP) -> int | None:
    """The limit of this container; None where there is none."""
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            found = int((cgroup / name).read_text())
        except (OSError, ValueError):
            continue
        return found if found < UNLIMITED else None
    return None


def oom_kills(cgroup: Path = CGROUP) -> int:
    """Processes ended for lack of memory since the container started; 0 where nobody counts."""
    for name in ("memory.events", "memory/memory.oom_control"):
        try:
            lines = (cgroup / name).read_text().splitlines()
        except OSError:
            continue
        counts = dict(line.split() for line in lines if len(line.split()) == 2)
        return int(counts.get("oom_kill", 0))
    return 0


def keep_freed() -> None:
    """Has glibc keep what the libraries of this process's children free, for their next allocation.

    By default large blocks go back to the system. PyTorch allocates each layer's activations anew in every step, on the
    CPU without a pool of its own: the kernel then clears the same pages again and again, up to half of the time.
    TensorFlow keeps its memory itself. A process's peak grows by what lies between its blocks. Whoever has set up
    malloc in the environment, or preloads another one, is left alone. Other C libraries ignore the settings.
    """
    if not any(name.startswith(MALLOC) for name in os.environ):
        os.environ.update(KEEP_FREED)
