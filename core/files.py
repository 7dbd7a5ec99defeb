"""Atomic writes: a reader sees the old file or the new one, never half of either."""

import fcntl
import hashlib
import os
import re
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import rmtree
from typing import IO

import pydantic

from core.errors import WrongStateError

CHUNK_BYTES = 1 << 20
HIDDEN = re.compile(r"\..+\.[0-9a-f]{32}")
"""Names of what is not finished."""
STALE_S = 60.0


def write_bytes(path: Path, data: bytes) -> None:
    """Writes `data` to `path` by rename, flushed to disk first; creates parent folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        # Of an open file that takes no more Python does not say which it is.
        if error.errno and not error.filename:
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text by rename."""
    write_bytes(path, text.encode())


def write_json(path: Path, model: pydantic.BaseModel) -> None:
    """Writes a pydantic model as indented JSON by rename."""
    write_text(path, model.model_dump_json(indent=2) + "\n")


@contextmanager
def staging_directory(parent: Path, name: str) -> Iterator[Path]:
    """A new hidden folder in `parent`, removed at the end if it is still there.

    While the block runs the folder is locked, so that `sweep` tells it from what a killed process left.
    """
    parent.mkdir(parents=True, exist_ok=True)
    folder, handle = _locked_directory(parent, name)
    try:
        yield folder
    finally:
        rmtree(folder, ignore_errors=True)
        os.close(handle)


@contextmanager
def staged_directory(target: Path) -> Iterator[Path]:
    """Yields a new folder beside `target` that becomes `target` by one rename when the block ends well.

    A `target` that another process finished in the meantime stays as it is: what is published is immutable.
    """
    with staging_directory(target.parent, target.name) as staging:
        yield staging
        try:
            staging.rename(target)
        except OSError:
            if not target.is_dir():
                raise


def sweep(folder: Path) -> None:
    """Removes what killed processes left in `folder`: unlocked staging folders, and temporary files a minute old."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if not HIDDEN.fullmatch(path.name):
            continue
        # A file is open for milliseconds; a folder may take an hour to fill.
        if path.is_file():
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > STALE_S:
                    path.unlink()
            continue
        with suppress(OSError):
            handle = os.open(path, os.O_RDONLY)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                rmtree(path, ignore_errors=True)
            finally:
                os.close(handle)


def _locked_directory(parent: Path, name: str) -> tuple[Path, int]:
    while True:
        folder = parent / f".{name}.{uuid.uuid4().hex}"
        folder.mkdir()
        try:
            handle = os.open(folder, os.O_RDONLY)
        except FileNotFoundError:
            # Swept between its creation and here.
            continue
        # Some network file systems lock no folders; there `sweep` cannot lock one either, and removes nothing.
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        if folder.is_dir():
            return folder, handle
        os.close(handle)


def lock(path: Path, busy: str | None) -> IO[str]:
    """Takes an exclusive lock on a file until the returned handle is closed or the process ends.

    Args:
        busy: what to say where somebody else holds it; None waits instead.

    Raises:
        WrongStateError: with `busy` as its text.
    """
    file = path.open("a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (fcntl.LOCK_NB if busy else 0))
    except BlockingIOError as error:
        file.close()
        raise WrongStateError(str(busy)) from error
    return file


def locked(path: Path) -> bool:
    """Whether some process, on this host or where the file system passes locks on, holds `lock` on a file."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False


def sha256_file(path: Path) -> str:
    """Hexadecimal sha256 of a file's bytes, read in chunks."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def files_below(directory: Path) -> list[Path]:
    """Every regular file below `directory`, as sorted relative paths."""
    return sorted(p.relative_to(directory) for p in directory.rglob("*") if p.is_file())
