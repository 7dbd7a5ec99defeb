from pathlib import Path

import numpy as np
import pytest

from evaluator.journal import Journal


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rows"


def rows(count: int) -> np.ndarray:
    return np.full((count, 4), 0.25, np.float32)


def test_a_new_journal_is_empty_and_so_are_its_rows(path):
    journal = Journal(path, 4)
    assert len(journal) == 0
    assert journal.rows(10)["probabilities"].shape == (0, 4)


def test_rows_come_back_in_order_with_the_latency_of_their_request(path):
    journal = Journal(path, 4)
    journal.append(rows(2), 1.5)
    journal.append(rows(1), 2.5)
    found = Journal(path, 4).rows(10)
    assert found["latency_ms"].tolist() == [1.5, 1.5, 2.5]
    np.testing.assert_array_equal(found["probabilities"], rows(3))


@pytest.mark.parametrize("cut", range(1, 20))
def test_a_row_cut_off_anywhere_is_dropped(path, cut):
    journal = Journal(path, 4)
    journal.append(rows(3), 1)
    with path.open("r+b") as file:
        file.truncate(60 - cut)
    assert len(Journal(path, 4)) == 2
    assert path.stat().st_size == 40


def test_zeros_that_a_crash_left_and_all_after_them_are_dropped(path):
    journal = Journal(path, 4)
    journal.append(rows(1), 1)
    journal.append(np.zeros((1, 4), np.float32), 0)
    journal.append(rows(1), 1)
    assert len(Journal(path, 4)) == 1


def test_nan_on_disk_is_dropped(path):
    journal = Journal(path, 4)
    journal.append(np.full((1, 4), np.nan, np.float32), 0)
    assert len(Journal(path, 4)) == 0
