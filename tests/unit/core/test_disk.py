"""What it means that nothing can be written."""

import errno
import os
import shutil
from pathlib import Path

import pytest

from core import disk
from core.errors import ExhaustedError, WrongStateError

HOME = Path("/home/here")
FULL = os.strerror(errno.ENOSPC)
HDF5 = f"[Errno 28] Unable to create file (errno = 28, error message = '{FULL}')"


def test_a_full_disk_is_named() -> None:
    with pytest.raises(ExhaustedError, match="no room left in /home/here; make room"), disk.named(HOME):
        Path("/dev/full").write_text("x")


@pytest.mark.parametrize(
    ("error", "kind", "told"),
    [
        (OSError(errno.ENOSPC, FULL, "/store/a/b"), ExhaustedError, "no room left in /store/a;"),
        (OSError(errno.EDQUOT, "Disk quota exceeded", "/a/b", None, "/c/d"), ExhaustedError, "no room left in /c;"),
        (shutil.Error([("/a/b", "/c/d", f"[Errno 28] {FULL}: '/c/d'")]), ExhaustedError, "no room left in /c;"),
        (OSError(HDF5), ExhaustedError, "no room left in /home/here;"),
        (RuntimeError(f"writing failed: {FULL}"), ExhaustedError, "no room left in /home/here;"),
        (OSError(errno.EROFS, "Read-only file system", "/a/b"), WrongStateError, "/a is read-only;"),
        (PermissionError(errno.EACCES, "Permission denied", "/a/b"), WrongStateError, "Permission denied: /a/b;"),
    ],
)
def test_whoever_says_so_the_place_is_named(error: Exception, kind: type[Exception], told: str) -> None:
    found = disk.meaning(error, HOME)
    assert isinstance(found, kind)
    assert str(found).startswith(told)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EIO, "Input/output error"),
        PermissionError(errno.EACCES, "Permission denied"),
        FileNotFoundError(),
        ValueError("x"),
    ],
)
def test_any_other_error_stays_what_it_is(error: Exception) -> None:
    assert disk.meaning(error, HOME) is None
    with pytest.raises(type(error)), disk.named(HOME):
        raise error
