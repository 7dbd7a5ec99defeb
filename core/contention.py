"""Tells whether timed work overlapped on this host.

Every timed process holds a file of its own locked while it works. Whoever finds another locked file, at the start or at
any later look, was not alone; the later one always sees the earlier one, and writes into its file. A lock holds across
the containers of a host too, where they share the folder: nothing here depends on process ids or on paths of others.
"""

import fcntl
import os
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from core import files
from core.errors import InvalidInputError

CONTENDED = "contended"
DIRECTORY = "BAKEOFF_TIMED"
"""Variable with the folder that everybody who times on this host shares."""
KEPT_S = 7 * 86400.0
"""How long the file of a killed section that was not alone waits for its work to be resumed."""


def default_directory() -> Path:
    """BAKEOFF_TIMED; without it one folder per host, shared by all services of one user outside containers."""
    given = os.environ.get(DIRECTORY)
    return Path(given) if given else Path(tempfile.gettempdir()) / f"bakeoff-timed-{os.getuid()}"


class TimedSection:
    """Use as a context manager around what is timed; `contended` may be read at any moment inside or after.

    Args:
        memory: a file, only this section's, that remembers its name and an overlap, so that what resumes timed work
            knows of one before it was killed.
    """

    def __init__(self, directory: Path | None = None, memory: Path | None = None) -> None:
        self._directory = directory or default_directory()
        self._memory = memory
        self._contended = False

    def __enter__(self) -> "TimedSection":
        """Raises InvalidInputError for a folder that cannot be written or locked."""
        self._path = self._directory / self._name()
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            self._lock()
        except OSError as error:
            raise InvalidInputError(
                f"{self._directory} cannot hold the locks that tell overlaps of timed work: {error.strerror}; expected "
                f"a folder that user {os.getuid()} may write, on a file system with locks: set {DIRECTORY}"
            ) from error
        others = list(self._others())
        for other in others:
            _mark(other)
        if others or self.contended:
            self._remember()
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
        if not self._contended and not self._file.closed and os.fstat(self._file.fileno()).st_size:
            self._remember()
        return self._contended

    def _remember(self) -> None:
        self._contended = True
        if self._memory:
            files.write_text(self._memory, CONTENDED)

    def _name(self) -> str:
        """Whoever was killed finds its file again, and in it what others wrote there until then."""
        told = self._memory.read_text() if self._memory and self._memory.is_file() else ""
        self._contended = told == CONTENDED
        if told and not self._contended:
            return told
        name = uuid.uuid4().hex
        if self._memory and not self._contended:
            files.write_text(self._memory, name)
        return name

    def _lock(self) -> None:
        while True:
            self._file = self._path.open("a")
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
    """Tells a section that it was not alone; one that has just ended needs no telling, and gets no new file."""
    try:
        with section.open("r+") as file:
            file.write(CONTENDED)
    except FileNotFoundError:
        return


def _is_locked(path: Path) -> bool:
    """True when a living process holds the lock; of dead ones' files those stay for a while that tell an overlap."""
    try:
        # To write: some network file systems give an exclusive lock for nothing else.
        with path.open("r+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            known = os.fstat(file.fileno())
            if not known.st_size or time.time() - known.st_mtime > KEPT_S:
                path.unlink(missing_ok=True)
    except OSError:
        return False
    return False
