"""Memory limit and kills from the control group, in both versions' files."""

from pathlib import Path

import pytest

from core import memory


def group(root: Path, name: str, text: str) -> Path:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text)
    return root


@pytest.mark.parametrize(
    ("name", "text", "limit"),
    [
        ("memory.max", "629145600\n", 629145600),
        ("memory.max", "max\n", None),
        ("memory/memory.limit_in_bytes", "629145600\n", 629145600),
        ("memory/memory.limit_in_bytes", "9223372036854771712\n", None),
    ],
)
def test_the_limit_is_read_where_there_is_one(tmp_path: Path, name: str, text: str, limit: int | None) -> None:
    assert memory.limit_bytes(group(tmp_path, name, text)) == limit


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("memory.events", "low 0\nhigh 0\nmax 12\noom 2\noom_kill 2\n"),
        ("memory/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"),
    ],
)
def test_kills_for_lack_of_memory_are_counted(tmp_path: Path, name: str, text: str) -> None:
    assert memory.oom_kills(group(tmp_path, name, text)) == 2


def test_without_a_control_group_there_is_no_limit_and_no_kill(tmp_path: Path) -> None:
    assert (memory.limit_bytes(tmp_path), memory.oom_kills(tmp_path)) == (None, 0)
