"""Timed sections on one host see each other."""

import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from core import contention
from core.contention import CONTENDED, TimedSection
from core.errors import InvalidInputError

OTHER = """
import sys
from pathlib import Path
from core.contention import TimedSection
with TimedSection(*map(Path, sys.argv[1:])) as timed:
    print("in", flush=True)
    sys.stdin.readline()
print(timed.contended, flush=True)
"""


def start_other(*folders: Path) -> subprocess.Popen[str]:
    other = subprocess.Popen(
        [sys.executable, "-c", OTHER, *map(str, folders)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "in\n"
    return other


def finish(other: subprocess.Popen[str]) -> str:
    return other.communicate("\n", timeout=30)[0].strip()


def test_alone_is_not_contended_and_leaves_nothing(tmp_path: Path) -> None:
    with TimedSection(tmp_path) as timed:
        assert not timed.contended
    assert not timed.contended
    assert list(tmp_path.iterdir()) == []


def test_one_after_the_other_is_not_contended(tmp_path: Path) -> None:
    for _ in range(2):
        with TimedSection(tmp_path) as timed:
            pass
        assert not timed.contended


def test_overlapping_sections_both_know(tmp_path: Path) -> None:
    with TimedSection(tmp_path) as first:
        assert not first.contended
        with TimedSection(tmp_path) as second:
            assert second.contended
            assert first.contended
    assert first.contended
    assert second.contended


@pytest.mark.parametrize("killed_first", [True, False])
def test_work_that_resumes_remembers_an_overlap_before_it_was_killed(tmp_path: Path, killed_first: bool) -> None:
    folder, memory = tmp_path / "timed", tmp_path / "contended"
    if killed_first:
        killed, other = start_other(folder, memory), start_other(folder)
    else:
        other, killed = start_other(folder), start_other(folder, memory)
    killed.kill()
    killed.communicate(timeout=30)
    assert finish(other) == "True"
    with TimedSection(folder, memory) as resumed:
        assert resumed.contended
    assert resumed.contended


def test_a_memory_of_nothing_says_nothing(tmp_path: Path) -> None:
    for _ in range(2):
        with TimedSection(tmp_path / "timed", tmp_path / "memory") as timed:
            assert not timed.contended
    assert list((tmp_path / "timed").iterdir()) == []


def test_an_overlap_is_remembered_after_the_end_too(tmp_path: Path) -> None:
    """A worker may be killed between the end of its timed work and its result."""
    folder, memory = tmp_path / "timed", tmp_path / "memory"
    with TimedSection(folder, memory), TimedSection(folder):
        pass
    with TimedSection(folder, memory) as again:
        assert again.contended


def test_nobody_touches_paths_of_others(tmp_path: Path) -> None:
    """In another container they would be other files, or none."""
    folder, memory = tmp_path / "timed", tmp_path / "run" / "memory"
    with TimedSection(folder, memory) as first:
        named = memory.read_text()
        (mine,) = folder.iterdir()
        assert (mine.name, mine.read_text()) == (named, "")
        with TimedSection(folder):
            assert mine.read_text() == CONTENDED
            assert memory.read_text() == named
        assert first.contended
        assert memory.read_text() == CONTENDED


def test_the_folder_is_the_one_everybody_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BAKEOFF_TIMED", str(tmp_path))
    with TimedSection(), TimedSection(tmp_path) as second:
        assert second.contended
    monkeypatch.setenv("BAKEOFF_TIMED", "")
    assert contention.default_directory().name == f"bakeoff-timed-{os.getuid()}"


def test_a_folder_that_holds_no_locks_is_named_with_the_variable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInputError, match=r"file cannot hold the locks .*: set BAKEOFF_TIMED"):
        TimedSection(tmp_path / "file").__enter__()


def test_what_a_killed_section_was_told_is_kept_for_a_week(tmp_path: Path) -> None:
    killed = start_other(tmp_path)
    (left,) = tmp_path.iterdir()
    with TimedSection(tmp_path):
        pass
    killed.kill()
    killed.communicate(timeout=30)
    with TimedSection(tmp_path) as alone:
        assert not alone.contended
    assert list(tmp_path.iterdir()) == [left]
    week_ago = time.time() - contention.KEPT_S - 1
    os.utime(left, (week_ago, week_ago))
    with TimedSection(tmp_path):
        assert not left.exists()


def test_the_earlier_one_knows_even_if_it_looks_only_after_the_end(tmp_path: Path) -> None:
    with TimedSection(tmp_path) as first, TimedSection(tmp_path):
        pass
    assert first.contended


def test_processes_see_each_other(tmp_path: Path) -> None:
    other = start_other(tmp_path)
    with TimedSection(tmp_path) as timed:
        assert timed.contended
    assert finish(other) == "True"
    assert list(tmp_path.iterdir()) == []


def test_a_killed_process_does_not_count(tmp_path: Path) -> None:
    other = start_other(tmp_path)
    other.kill()
    other.communicate()
    with TimedSection(tmp_path) as timed:
        assert not timed.contended
    assert list(tmp_path.iterdir()) == []


def test_a_file_taken_for_a_dead_ones_before_it_was_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = fcntl.flock
    interrupted: list[bool] = []

    def intrude(file: object, operation: int) -> None:
        if operation == fcntl.LOCK_EX and not interrupted:
            interrupted.append(True)
            next(tmp_path.iterdir()).unlink()
        lock(file, operation)  # type: ignore[arg-type]

    monkeypatch.setattr(fcntl, "flock", intrude)
    with TimedSection(tmp_path), TimedSection(tmp_path) as second:
        assert second.contended
