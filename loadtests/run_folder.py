"""The files of one headless load test: spec in, progress lines and result out."""

import json
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

import pydantic

from core import files
from core.errors import InvalidInputError, NotFoundError
from core.schemas.base import parse_json
from core.schemas.specs import LoadTestSpec
from core.worker import EVENTS, RESULT, SPEC


class LoadTestFolder:
    """Use as a context manager while the test runs: it keeps the file of progress lines open.

    What an earlier attempt left is cleared first, so a `result.json` is always this attempt's.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._events: TextIO | None = None

    def __enter__(self) -> Self:
        (self.path / RESULT).unlink(missing_ok=True)
        self._events = (self.path / EVENTS).open("w", encoding="utf-8")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._events:
            self._events.close()

    def spec(self) -> LoadTestSpec:
        """The validated spec. NotFoundError without the file; InvalidInputError naming each wrong key."""
        path = self.path / SPEC
        if not path.is_file():
            raise NotFoundError(f"{path} does not exist; a run folder holds the load test's spec under that name")
        return parse_json(LoadTestSpec, path.read_bytes(), str(path))

    def progress(self, phase: str, done: float, total: float, values: dict[str, float]) -> None:
        """Adds one line, `{"phase", "done", "total", "unit", "values"}`, readable at once. Amounts are seconds."""
        if self._events is None:
            raise InvalidInputError(f"{self.path} is not open: enter it as a context manager first")
        line = {"phase": phase, "done": round(done, 3), "total": total, "unit": "s", "values": values}
        self._events.write(json.dumps(line) + "\n")
        self._events.flush()

    def finish(self, result: pydantic.BaseModel) -> None:
        """Writes `result.json` by rename."""
        files.write_json(self.path / RESULT, result)
