"""How much CPU this process may use."""

import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def quota(cgroup: Path = CGROUP) -> float:
    """Cores: the smallest of the control group's quota (version 2, or 1) and the affinity mask."""
    affinity = float(len(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else float(os.cpu_count() or 1)
    return min([affinity, *_limit(cgroup)])


def _limit(cgroup: Path) -> tuple[float, ...]:
    """Cores the control group allows; nothing where it sets no limit."""
    for files in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):
        try:
            limit, period = " ".join((cgroup / name).read_text() for name in files).split()
            return () if limit in ("max", "-1") else (int(limit) / int(period),)
        except (OSError, ValueError):
            continue
    return ()


def threads() -> int:
    """Whole threads for compute: the quota rounded down, at least one."""
    return max(1, int(quota()))


def share_cores() -> None:
    """Has OpenMP's threads, PyTorch's on the CPU, wait awake for only a moment; for this process's children.

    By default they spin until the others are done. Where anything else runs on the cores, the one they wait for is not
    running, and a step takes several times as long. Call it before the library is loaded; the environment wins.
    """
    if "OMP_WAIT_POLICY" not in os.environ:  # The library would heed the number before the policy.
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")
