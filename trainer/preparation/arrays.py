"""Writes `.npy` files row by row, so that memory does not grow with their length."""

import os
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


class ArrayWriter:
    """A context manager that appends rows; the file is complete, with its true length, when the block ends."""

    def __init__(self, path: Path, row_shape: tuple[int, ...], dtype: DTypeLike) -> None:
        self._row_shape, self._dtype, self._rows = row_shape, np.dtype(dtype), 0
        self._file = path.open("wb")
        self._write_header()
        self._start = self._file.tell()

    def __enter__(self) -> "ArrayWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._file:
            self._file.seek(0, os.SEEK_SET)
            self._write_header()
            # NumPy pads the header so that a file can grow along its first axis; if that ever changes, stop here.
            assert self._file.tell() == self._start

    def append(self, rows: NDArray[Any]) -> None:
        """Adds rows [k, *row_shape]."""
        self._file.write(np.ascontiguousarray(rows, dtype=self._dtype).data)
        self._rows += len(rows)

    def _write_header(self) -> None:
        shape = (self._rows, *self._row_shape)
        header = {"descr": np.lib.format.dtype_to_descr(self._dtype), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self._file, header)
