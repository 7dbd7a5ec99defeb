"""What it means that nothing can be written: no room, a disk that is read-only, no right to."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.errors import BakeoffError, ExhaustedError, WrongStateError

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
KNOWN = (*NO_ROOM, errno.EROFS)


def meaning(error: BaseException, folder: Path) -> BakeoffError | None:
    """The domain error for one that says so, whichever library raised it; None for any other.

    Args:
        folder: where something was to be written, for an error that does not say.
    """
    if isinstance(error, PermissionError) and error.filename:  # Ports and processes have none.
        return WrongStateError(f"{error.strerror}: {error.filename}; give this user the right to it")
    number = _number(error)
    if number is None:
        return None
    place = _place(error, folder)
    if number == errno.EROFS:
        return WrongStateError(f"{place} is read-only; make it writable and start it again")
    return ExhaustedError(f"no room left in {place}; make room and start it again")


@contextmanager
def named(folder: Path) -> Iterator[None]:
    """Raises such an error of the block as `meaning` has it."""
    try:
        yield
    except OSError as error:
        if found := meaning(error, folder):
            raise found from error
        raise


def _number(error: BaseException) -> int | None:
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno if error.errno in KNOWN else None
    # shutil.copytree, HDF5 and the frameworks' own writers have but the words.
    return next((number for number in KNOWN if os.strerror(number) in str(error)), None)


def _place(error: BaseException, folder: Path) -> Path:
    if isinstance(error, shutil.Error):
        return Path(error.args[0][0][1]).parent
    # Of a copy the second name is the one that is written.
    name = getattr(error, "filename2", None) or getattr(error, "filename", None)
    return Path(name).parent if isinstance(name, str) else folder
