"""Predictions on disk as they arrive: what a scoring that breaks off leaves, and goes on from."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluator.checks import SUM_TOLERANCE


class Journal:
    """One pass over a split: rows in its order, appended batch by batch.

    A row is float32 latency in milliseconds (of the request it came with), then float32 probabilities [classes]. What a
    killed process left half-written at the end is dropped when the file is opened.
    """

    def __init__(self, path: Path, classes: int) -> None:
        self.path, self.classes = path, classes
        self._row = np.dtype([("latency_ms", "<f4"), ("probabilities", "<f4", (classes,))])
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab"):
            pass
        self._truncate(self._sound_rows())

    def __len__(self) -> int:
        return self.path.stat().st_size // self._row.itemsize

    def append(self, probabilities: NDArray[Any], latency_ms: float) -> None:
        """Adds checked rows, float [n, classes]."""
        rows = np.empty(len(probabilities), self._row)
        rows["latency_ms"], rows["probabilities"] = latency_ms, probabilities
        with self.path.open("ab") as file:
            file.write(rows.tobytes())

    def rows(self, limit: int) -> NDArray[np.void]:
        """The first `limit` rows, fields `latency_ms` and `probabilities`, memory-mapped."""
        if not len(self):
            return np.empty(0, self._row)
        return np.memmap(self.path, self._row, "r", shape=(min(limit, len(self)),))

    def _sound_rows(self) -> int:
        """How many rows from the start are whole: a crash of the machine may leave zeros where data was promised."""
        found = self.rows(len(self))["probabilities"]
        with np.errstate(invalid="ignore"):
            sound = np.abs(found.sum(axis=1, dtype=np.float64) - 1) <= SUM_TOLERANCE
        return len(sound) if sound.all() else int(np.argmin(sound))

    def _truncate(self, rows: int) -> None:
        with self.path.open("r+b") as file:
            file.truncate(rows * self._row.itemsize)
