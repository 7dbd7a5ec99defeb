"""Atomic writes and staged folders."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from core import files


def test_a_write_replaces_the_file_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    files.write_text(path, "one")
    files.write_text(path, "zwei – 二")
    assert path.read_text(encoding="utf-8") == "zwei – 二"
    assert list(path.parent.iterdir()) == [path]


def test_a_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.txt"
    files.write_text(path, "old")

    def fail(_: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        files.write_text(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_staged_folder_appears_when_the_block_ends(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "target"
    with files.staged_directory(target) as staging:
        (staging / "a").write_text("x")
        assert not target.exists()
    assert (target / "a").read_text() == "x"
    assert list(target.parent.iterdir()) == [target]


def test_a_staged_folder_vanishes_when_the_block_fails(tmp_path: Path) -> None:
    def fail() -> None:
        with files.staged_directory(tmp_path / "target") as staging:
            (staging / "a").write_text("x")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_the_first_of_two_stagings_wins(tmp_path: Path) -> None:
    target = tmp_path / "target"
    with files.staged_directory(target) as late:
        (late / "who").write_text("late")
        with files.staged_directory(target) as early:
            (early / "who").write_text("early")
    assert (target / "who").read_text() == "early"
    assert list(tmp_path.iterdir()) == [target]


def test_a_sweep_takes_what_a_killed_process_left_and_nothing_else(tmp_path: Path) -> None:
    left = "from core import files; import os\n" + (
        f"with files.staging_directory(__import__('pathlib').Path({str(tmp_path)!r}), 'left') as folder:\n"
        "    (folder / 'half').touch(); os._exit(1)"
    )
    subprocess.run([sys.executable, "-c", left], check=False, timeout=60)
    assert len(list(tmp_path.glob(".left.*/half"))) == 1
    kept = [tmp_path / "object", tmp_path / ".hidden", tmp_path / f".fresh.{'0' * 32}"]
    kept[0].mkdir()
    kept[1].mkdir()
    kept[2].touch()
    stale = tmp_path / f".stale.{'0' * 32}"
    stale.touch()
    os.utime(stale, (0, 0))
    with files.staging_directory(tmp_path, "held") as held:
        files.sweep(tmp_path)
        assert sorted(tmp_path.iterdir()) == sorted([*kept, held])


def test_nothing_to_sweep_is_fine(tmp_path: Path) -> None:
    files.sweep(tmp_path / "absent")


@pytest.mark.parametrize("size", [0, 1, files.CHUNK_BYTES, files.CHUNK_BYTES + 1])
def test_a_hash_does_not_depend_on_the_chunks_it_is_read_in(tmp_path: Path, size: int) -> None:
    data = b"x" * size
    (tmp_path / "a").write_bytes(data)
    assert files.sha256_file(tmp_path / "a") == hashlib.sha256(data).hexdigest()


def test_files_below_are_relative_sorted_and_without_folders(tmp_path: Path) -> None:
    for name in ("b/2", "b/1", "a"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / "empty").mkdir()
    assert [path.as_posix() for path in files.files_below(tmp_path)] == ["a", "b/1", "b/2"]
