"""Tells whether timed work overlapped on this host.

Every timed process holds a file of its own locked while it works. Whoever finds another locked file, at the start or at
any later look, was not alone; the later one always sees the earlier one, and marks its file as well.
"""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType

CONTENDED = "contended"


def default_directory() -> Path:
    """One folder per host, shared by all services of one user."""
    return Path(tempfile.gettempdir()) / f"bakeoff-timed-{os.getuid()}"


class TimedSection:
    """Use as a context manager around what is timed; `contended` may be read at any moment inside or after.

    Args:
        memory: a file that remembers an overlap, so that what resumes timed work knows of one before it was killed.
    """

    def __init__(self, directory: Path | None = None, memory: Path | None = None) -> None:
        self._directory = directory or default_directory()
        self._path = self._directory / f"{os.getpid()}-{id(self)}"
        self._memory = memory.absolute() if memory else None
        self._contended = False

    def __enter__(self) -> "TimedSection":
        self._directory.mkdir(parents=True, exist_ok=True)
        self._contended = bool(self._memory and self._memory.exists())
        self._lock()
        for other in self._others():
            self._contended = True
            _mark(other)
        if self._contended:
            _mark(self._path)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._contended = self.contended
        self._path.unlink(missing_ok=True)
        self._file.close()

    @property
    def contended(self) -> bool:
        """True once another timed section overlapped with this one."""
        if not self._contended and self._path.exists():
            self._contended = self._path.read_text() == CONTENDED
        return self._contended

    def _lock(self) -> None:
        while True:
            self._file = self._path.open("w+")
            # Before the lock: once it is locked, others write into it.
            self._file.write(str(self._memory or ""))
            self._file.flush()
            fcntl.flock(self._file, fcntl.LOCK_EX)
            if os.fstat(self._file.fileno()).st_nlink:
                return
            # Somebody took the file, not locked yet, for a dead one's and removed it: a lock nobody can find.
            self._file.close()

    def _others(self) -> Iterator[Path]:
        for path in self._directory.iterdir():
            if path != self._path and _is_locked(path):
                yield path


def _mark(section: Path) -> None:
    """Tells a section, and its memory, that it was not alone."""
    memory = section.read_text()
    section.write_text(CONTENDED)
    if memory not in ("", CONTENDED):
        # The run's folder may have been removed meanwhile.
        with suppress(OSError):
            Path(memory).touch()


def _is_locked(path: Path) -> bool:
    """True when a living process holds the lock; files of dead ones are removed."""
    try:
        with path.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            path.unlink(missing_ok=True)
    except OSError:
        return False
    return False
