"""Where a result was measured."""

from pydantic import Field

from core.schemas.base import Schema


class Environment(Schema):
    """Machine and software of one process; two results compare only where these agree."""

    host: str
    """Its name; a container has one of its own."""
    boot_id: str = ""
    """Of the running kernel, which containers of one machine share; empty where it is not known."""
    platform: str
    cpu_model: str
    cpu_quota: float
    """Cores this process may use: the cgroup quota, or the affinity mask where there is none."""
    memory_bytes: int
    python: str
    versions: dict[str, str]
    """Distribution name to installed version."""
    threads: int
    device: str = "cpu"
    """What was computed on: cpu or cuda."""
    variables: dict[str, str] = Field(default_factory=dict)
    """Environment variables that change how fast it computes, with their values; earlier versions kept none."""
    load_average: float
    """One-minute load when the measurement began."""
    contended: bool = False
    """Another timed run overlapped on this host: leave it out of time comparisons."""
