"""What the control group says about memory: its limit, and how often it ended a process for lack of it."""

from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
UNLIMITED = 1 << 60
"""Version 1 writes a huge number instead of a word."""


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
