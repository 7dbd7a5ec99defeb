"""How much CPU this process may use."""

import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def quota(cgroup: Path = CGROUP) -> float:
    """Cores: the smallest of the cgroup v2 quota and the affinity mask."""
    affinity = float(len(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else float(os.cpu_count() or 1)
    try:
        limit, period = (cgroup / "cpu.max").read_text().split()
    except (OSError, ValueError):
        return affinity
    return affinity if limit == "max" else min(affinity, int(limit) / int(period))


def threads() -> int:
    """Whole threads for compute: the quota rounded down, at least one."""
    return max(1, int(quota()))
