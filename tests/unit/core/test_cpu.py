"""CPU quota from the control group."""

import os
from pathlib import Path

import pytest

from core import cpu


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))


@pytest.mark.parametrize(
    ("text", "cores"),
    [
        ("max 100000", 8.0),
        ("150000 100000", 1.5),
        ("50000 100000", 0.5),
        ("1600000 100000", 8.0),
        ("rubbish", 8.0),
        ("", 8.0),
    ],
)
def test_the_quota_is_the_smaller_of_limit_and_affinity(tmp_path: Path, text: str, cores: float) -> None:
    (tmp_path / "cpu.max").write_text(text)
    assert cpu.quota(tmp_path) == cores


@pytest.mark.parametrize(("limit", "cores"), [("-1", 8.0), ("50000", 0.5), ("200000", 2.0)])
def test_version_1_of_control_groups_is_read_too(tmp_path: Path, limit: str, cores: float) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu/cpu.cfs_quota_us").write_text(f"{limit}\n")
    (tmp_path / "cpu/cpu.cfs_period_us").write_text("100000\n")
    assert cpu.quota(tmp_path) == cores


def test_without_a_control_group_the_affinity_counts(tmp_path: Path) -> None:
    assert cpu.quota(tmp_path) == 8.0


@pytest.mark.parametrize(("quota", "threads"), [(0.5, 1), (1.0, 1), (1.9, 1), (2.0, 2), (7.5, 7)])
def test_threads_are_whole_and_at_least_one(monkeypatch: pytest.MonkeyPatch, quota: float, threads: int) -> None:
    monkeypatch.setattr(cpu, "quota", lambda: quota)
    assert cpu.threads() == threads


def test_openmps_threads_wait_awake_for_a_moment_unless_the_environment_says_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    for before, after in ((None, "10000"), ("7", "7")):
        if before is None:
            monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
        else:
            monkeypatch.setenv("GOMP_SPINCOUNT", before)
        cpu.share_cores()
        assert os.environ["GOMP_SPINCOUNT"] == after
    monkeypatch.delenv("GOMP_SPINCOUNT")
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")
    cpu.share_cores()
    assert "GOMP_SPINCOUNT" not in os.environ
