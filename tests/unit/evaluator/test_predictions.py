from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.errors import InvalidInputError
from evaluator import predictions
from evaluator.journal import Journal
from evaluator.predictions import About

ABOUT = About("a-model", 2, "f" * 64, "d" * 64, "test", ("no", "yes"))


def journal_rows(folder: Path, count: int) -> np.ndarray:
    share = np.linspace(0, 1, count, dtype=np.float32)
    journal = Journal(folder / "rows", 2)
    journal.append(np.stack([1 - share, share], axis=1), 1.25)
    return journal.rows(count)


@pytest.mark.parametrize("count", [1, 5, predictions.ROW_GROUP + 1])
def test_probabilities_come_back_bit_for_bit(tmp_path, count):
    rows = journal_rows(tmp_path, count)
    path = tmp_path / "predictions/test.parquet"
    predictions.write(path, rows, np.zeros(count, np.int64), ["item"] * count, ABOUT)
    np.testing.assert_array_equal(predictions.read(path), rows["probabilities"])
    assert pq.ParquetFile(path).num_row_groups == -(-count // predictions.ROW_GROUP)


def test_a_file_says_of_every_image_where_it_came_from_and_what_was_said_of_it(tmp_path):
    path = tmp_path / "test.parquet"
    items = ["a/1.png", "b/ü 2.png", "c/3.png"]
    predictions.write(path, journal_rows(tmp_path, 3), np.array([1, 0, 1]), items, ABOUT)
    table = pq.read_table(path)
    assert table.column("item").to_pylist() == items
    assert table.column("index").to_pylist() == [0, 1, 2]
    assert table.column("label").to_pylist() == [1, 0, 1]
    assert table.column("predicted").to_pylist() == [0, 0, 1]
    assert table.column("model").to_pylist() == ["a-model"] * 3
    assert table.column("latency_ms").to_pylist() == [1.25] * 3
    assert table.schema.metadata[b"bakeoff.classes"] == b'["no", "yes"]'


def test_predictions_of_an_earlier_version_are_read(tmp_path):
    old = np.array([[0.25, 0.75]], np.float32)
    np.savez_compressed(tmp_path / "predictions.npz", probabilities=old)
    np.testing.assert_array_equal(predictions.read_result(tmp_path), old)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"not parquet at all"])
def test_a_damaged_file_is_named_with_what_to_do(tmp_path, content):
    path = tmp_path / "test.parquet"
    path.write_bytes(content)
    with pytest.raises(InvalidInputError, match=r"test\.parquet cannot be read.*remove its folder"):
        predictions.read(path)


@pytest.mark.parametrize("content", [b"", b"PK", b"PK\x03\x04 cut short", b"not numpy at all", b"\x93NUMPY"])
def test_a_damaged_file_of_an_earlier_version_is_named_with_what_to_do(tmp_path, content):
    (tmp_path / "predictions.npz").write_bytes(content)
    with pytest.raises(InvalidInputError, match=r"predictions\.npz cannot be read.*remove its folder"):
        predictions.read_result(tmp_path)


@pytest.mark.parametrize("kept", [{"other": np.zeros(2)}, {"probabilities": np.array(["no", "number"])}])
def test_a_file_of_an_earlier_version_that_holds_something_else_is_named(tmp_path, kept):
    np.savez(tmp_path / "predictions.npz", **kept)
    with pytest.raises(InvalidInputError, match=r"predictions\.npz cannot be read.*remove its folder"):
        predictions.read_result(tmp_path)


@pytest.mark.parametrize("at", [100, 150, 200, 400])
def test_a_file_of_an_earlier_version_with_other_bytes_inside_is_named(tmp_path, at):
    path = tmp_path / "predictions.npz"
    np.savez_compressed(path, probabilities=np.random.default_rng(0).random((99, 2), np.float32))
    content = bytearray(path.read_bytes())
    content[at] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(InvalidInputError, match=r"predictions\.npz cannot be read.*remove its folder"):
        predictions.read_result(tmp_path)


@pytest.mark.parametrize(
    "column", [pa.array([[1.0], [0.5, 0.5]]), pa.array([1, 2]), pa.array([], pa.list_(pa.float32()))]
)
def test_a_file_whose_column_is_no_table_of_probabilities_is_named(tmp_path, column):
    path = tmp_path / "test.parquet"
    pq.write_table(pa.table({"probabilities": column}), path)
    with pytest.raises(InvalidInputError, match=r"test\.parquet cannot be read.*remove its folder"):
        predictions.read(path)


def test_an_absent_file_is_named(tmp_path):
    with pytest.raises(InvalidInputError, match=r"test\.parquet cannot be read"):
        predictions.read_result(tmp_path)
