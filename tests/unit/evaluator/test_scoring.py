import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from core.errors import CancelledError, InvalidInputError
from core.prepared import Split
from evaluator.journal import Journal
from evaluator.scoring import score


def split(images: int) -> Split:
    pixels = np.arange(images, dtype=np.uint8).reshape(images, 1, 1, 1)
    return Split(pixels, np.zeros(images, np.int64))


def two_classes(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    share = images[:, 0, 0, 0].astype(np.float32) / 255
    return np.stack([1 - share, share], axis=1)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "checkpoints/test.rows", 2)


def ignore(done: int, total: int) -> None:
    """Progress nobody looks at."""


@pytest.mark.parametrize("batch_size", [1, 3, 7, 100])
def test_answers_keep_the_order_of_the_split_whatever_the_batch_size(journal: Journal, batch_size: int) -> None:
    found = score(two_classes, split(7), journal, batch_size, ignore)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, two_classes(split(7).images))


def test_the_last_batch_is_as_small_as_what_is_left(journal: Journal) -> None:
    sizes: list[int] = []

    def predict(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        sizes.append(len(images))
        return two_classes(images)

    score(predict, split(7), journal, 3, ignore)
    assert sizes == [3, 3, 1]


def test_progress_counts_images(journal: Journal) -> None:
    seen: list[tuple[int, int]] = []
    score(two_classes, split(5), journal, 2, lambda done, total: seen.append((done, total)))
    assert seen == [(2, 5), (4, 5), (5, 5)]


def test_only_one_batch_of_a_memory_map_is_copied_at_a_time(journal: Journal) -> None:
    seen: list[NDArray[np.uint8]] = []

    def predict(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        seen.append(images)
        return two_classes(images)

    source = split(4)
    score(predict, source, journal, 2, ignore)
    assert all(batch.base is None and not np.shares_memory(batch, source.images) for batch in seen)


def test_an_exception_from_progress_stops_before_the_next_batch(journal: Journal) -> None:
    calls = 0

    def predict(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        nonlocal calls
        calls += 1
        return two_classes(images)

    def cancel(done: int, total: int) -> None:
        raise CancelledError("stopped")

    with pytest.raises(CancelledError):
        score(predict, split(9), journal, 3, cancel)
    assert calls == 1


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (np.full((2, 2), 0.5, np.float32), r"images 0 to 2 has shape \[2, 2\], expected \[3, 2\]"),
        (np.full(3, 0.5, np.float32), r"has shape \[3\]"),
        (np.full((3, 2), np.nan, np.float32), "image 0 are not finite"),
        (np.full((3, 2), 0.4, np.float32), "image 0 sum to 0.8"),
        (np.full((3, 1), 1.0, np.float32), r"has shape \[3, 1\], expected \[3, 2\]"),
        (np.full((3, 2), 1, np.int64), "are int64, expected float32"),
    ],
)
def test_a_reply_that_is_no_probabilities_is_refused_with_its_images(
    journal: Journal, reply: NDArray[Any], message: str
) -> None:
    with pytest.raises(InvalidInputError, match=message):
        score(lambda images: reply, split(3), journal, 3, ignore)


def test_a_bad_row_in_a_later_batch_is_named_by_its_place_in_the_split(journal: Journal) -> None:
    def predict(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        answer = two_classes(images)
        answer[images[:, 0, 0, 0] == 5] = 0.9
        return answer

    with pytest.raises(InvalidInputError, match=r"image 5 sum to 1\.8"):
        score(predict, split(8), journal, 2, ignore)


def test_a_server_that_changes_its_number_of_classes_is_refused(journal: Journal) -> None:
    def predict(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        classes = 2 if images[0, 0, 0, 0] == 0 else 3
        return np.full((len(images), classes), 1 / classes, np.float32)

    with pytest.raises(InvalidInputError, match=r"has shape \[2, 3\], expected \[2, 2\]"):
        score(predict, split(4), journal, 2, ignore)


def test_an_empty_split_and_a_batch_size_of_zero_are_refused(journal: Journal) -> None:
    with pytest.raises(InvalidInputError, match="no images"):
        score(two_classes, split(0), journal, 4, ignore)
    with pytest.raises(InvalidInputError, match="batch size 0"):
        score(two_classes, split(4), journal, 0, ignore)


def test_what_was_scored_before_it_broke_off_is_not_asked_again(journal: Journal) -> None:
    asked: list[int] = []

    def dies_at_four(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        if 4 in images[:, 0, 0, 0]:
            raise InvalidInputError("the server is gone")
        return two_classes(images)

    def counts(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        asked.extend(images[:, 0, 0, 0].tolist())
        return two_classes(images)

    with pytest.raises(InvalidInputError, match="the server is gone"):
        score(dies_at_four, split(9), journal, 2, ignore)
    assert len(journal) == 4
    again = Journal(journal.path, 2)
    found = score(counts, split(9), again, 3, ignore)
    assert asked == [4, 5, 6, 7, 8]
    np.testing.assert_array_equal(found, two_classes(split(9).images))


def test_a_finished_journal_asks_nobody(journal: Journal) -> None:
    score(two_classes, split(5), journal, 2, ignore)

    def nobody(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        raise AssertionError("nobody was to be asked")

    np.testing.assert_array_equal(score(nobody, split(5), journal, 2, ignore), two_classes(split(5).images))


@pytest.mark.parametrize("in_flight", [1, 3, 64])
def test_no_more_requests_are_under_way_than_allowed_and_answers_stay_in_order(
    journal: Journal, in_flight: int
) -> None:
    lock, now, most = threading.Lock(), 0, 0

    def predict(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        # The first ones answer last.
        time.sleep(0.002 if images[0, 0, 0, 0] % 4 == 0 else 0)
        with lock:
            now -= 1
        return two_classes(images)

    found = score(predict, split(40), journal, 2, ignore, in_flight)
    assert most <= in_flight
    np.testing.assert_array_equal(found, two_classes(split(40).images))


def test_images_are_changed_with_their_place_in_the_split(journal: Journal) -> None:
    places: list[int] = []

    def change(images: NDArray[np.uint8], first: int) -> NDArray[np.uint8]:
        places.append(first)
        return 255 - images

    found = score(two_classes, split(5), journal, 2, ignore, change=change)
    assert places == [0, 2, 4]
    np.testing.assert_array_equal(found, two_classes(255 - split(5).images))
