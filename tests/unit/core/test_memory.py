"""Memory limit and kills from the control group, in both versions' files; what glibc does with freed memory."""

import os
import platform
import subprocess
import sys
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


def test_glibc_keeps_what_is_freed_unless_the_environment_has_set_up_malloc(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GLIBC_TUNABLES", "LD_PRELOAD", "MALLOC_ARENA_MAX", *memory.KEEP_FREED):
        monkeypatch.delenv(name, raising=False)
    for name, value in (("LD_PRELOAD", "libjemalloc.so.2"), ("MALLOC_TRIM_THRESHOLD_", "131072")):
        with monkeypatch.context() as patched:
            patched.setenv(name, value)
            memory.keep_freed()
            assert "MALLOC_MMAP_MAX_" not in os.environ
            assert os.environ[name] == value
    before = dict(os.environ)
    memory.keep_freed()
    try:
        assert dict(os.environ) == before | memory.KEEP_FREED
    finally:
        for name in memory.KEEP_FREED:
            del os.environ[name]


BLOCKS = """
import ctypes, resource
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
size = 40 << 20
def use():
    block = libc.malloc(size)
    ctypes.memset(block, 1, size)
    libc.free(block)
use()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(3):
    use()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
"""Allocates a large block again and again; page faults after the first."""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's settings")
def test_with_it_a_block_that_is_allocated_again_costs_no_new_pages() -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_", "LD_"))}

    def faults(settings: dict[str, str]) -> int:
        command = [sys.executable, "-c", BLOCKS]
        done = subprocess.run(command, env=clean | settings, capture_output=True, text=True, check=True)
        return int(done.stdout)

    assert 10 * faults(memory.KEEP_FREED) < faults({})
