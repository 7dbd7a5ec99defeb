"""Every prediction of one pass as a Parquet file: enough to compute any metric again without a server."""

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from core.errors import InvalidInputError

FOLDER = "predictions"
"""Below a result object, one file for each pass: `test.parquet`, `validation.parquet`, `test-noise-3.parquet`."""
OLD_FILE = "predictions.npz"
"""Where results up to schema version 2 keep the test split's."""
ROW_GROUP = 8192
"""Rows that are in memory at a time while a file is written."""
# What the readers raise for damaged content; AttributeError where a column is of another type, RuntimeError
# where a zip says that it is encrypted or packed in another way.
DAMAGED = (
    pa.ArrowException, BadZipFile, zlib.error, OSError, EOFError, ValueError, LookupError, AttributeError, TypeError,
    RuntimeError,
)  # fmt: skip


@dataclass(frozen=True)
class About:
    """Whose predictions they are; goes into the file's metadata."""

    model: str
    version: int
    """0: the server's choice."""
    artifact: str
    """Empty where it is not known."""
    data: str
    split: str
    classes: tuple[str, ...]
    corruption: str = ""
    severity: int = 0


def write(path: Path, rows: NDArray[np.void], labels: NDArray[np.int64], items: Sequence[str], about: About) -> None:
    """Writes predictions in the order of the split.

    Columns: `index` int32, `item` string (where the image came from), `model` string, `label` and `predicted` int32,
    `latency_ms` float32 (of the request the image was part of), `probabilities` list of float32 [classes].

    Args:
        rows: [n] with the fields of `evaluator.journal.Journal`.
        labels: int64 [n].
        items: [n].
    """
    classes = len(about.classes)
    schema = pa.schema(
        [
            ("index", pa.int32()),
            ("item", pa.string()),
            ("model", pa.dictionary(pa.int8(), pa.string())),
            ("label", pa.int32()),
            ("predicted", pa.int32()),
            ("latency_ms", pa.float32()),
            ("probabilities", pa.list_(pa.float32(), classes)),
        ],
        metadata={f"bakeoff.{key}": json.dumps(value, ensure_ascii=False) for key, value in vars(about).items()},
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with pq.ParquetWriter(path, schema, compression="zstd") as file:
        for start in range(0, len(rows), ROW_GROUP):
            part = slice(start, start + ROW_GROUP)
            file.write_table(_table(rows[part], labels[part], items[part], start, about.model, schema))


def read(path: Path) -> NDArray[np.float32]:
    """Probabilities, float32 [n, classes]. Raises InvalidInputError for a file that is damaged."""
    try:
        column = pq.read_table(path, columns=["probabilities"]).column(0).combine_chunks()
        return np.asarray(column.flatten(), np.float32).reshape(len(column), -1)
    except DAMAGED as error:
        raise _unreadable(path, error) from error


def read_result(folder: Path) -> NDArray[np.float32]:
    """The test split's probabilities in a result object's folder, also one of an earlier version.

    Raises InvalidInputError for a file that is absent or damaged.
    """
    if not (old := folder / OLD_FILE).is_file():
        return read(folder / FOLDER / "test.parquet")
    try:
        # Opened here: numpy leaves a file it cannot read open.
        with old.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return np.asarray(archive["probabilities"], np.float32)
    except DAMAGED as error:
        raise _unreadable(old, error) from error


def _unreadable(path: Path, error: Exception) -> InvalidInputError:
    return InvalidInputError(f"{path} cannot be read: {error}; remove its folder to score the model again")


def _table(
    rows: NDArray[Any], labels: NDArray[np.int64], items: Sequence[str], start: int, model: str, schema: pa.Schema
) -> pa.Table:
    probabilities = np.ascontiguousarray(rows["probabilities"])
    count, classes = probabilities.shape
    columns = [
        pa.array(np.arange(start, start + count, dtype=np.int32)),
        pa.array(items, pa.string()),
        pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int8)), pa.array([model])),
        pa.array(labels.astype(np.int32)),
        pa.array(probabilities.argmax(axis=1).astype(np.int32)),
        pa.array(np.ascontiguousarray(rows["latency_ms"])),
        pa.FixedSizeListArray.from_arrays(pa.array(probabilities.reshape(-1)), classes),
    ]
    return pa.table(columns, schema=schema)
