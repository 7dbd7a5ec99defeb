import itertools
import sys

import numpy as np
import pytest

from core.errors import InvalidInputError
from core.prepared import open_prepared
from loadtests import checks, images, null_server, recorder, run_folder
from tests.unit.loadtests.prepared import FINGERPRINT, put_prepared


def first(count: int, **arguments) -> np.ndarray:
    pixels = np.arange(50, dtype=np.uint8).reshape(50, 1, 1, 1)
    return np.stack(list(itertools.islice(images.draw(pixels, 3, **arguments), count)))


def test_the_same_seed_and_user_draw_the_same_images():
    assert np.array_equal(first(20, seed=1, user=2), first(20, seed=1, user=2))


def test_another_user_or_seed_draws_other_images():
    base = first(20, seed=1, user=2)
    assert not np.array_equal(base, first(20, seed=1, user=3))
    assert not np.array_equal(base, first(20, seed=2, user=2))


def test_batches_have_the_asked_size_and_reach_every_image():
    drawn = first(400, seed=0, user=0)
    assert drawn.shape == (400, 3, 1, 1, 1)
    assert drawn.dtype == np.uint8
    assert len(np.unique(drawn)) == 50


def test_a_single_image_fills_a_larger_batch():
    batch = next(images.draw(np.full((1, 2, 2, 1), 7, np.uint8), 4, 0, 0))
    assert batch.shape == (4, 2, 2, 1)
    assert (batch == 7).all()


def test_random_images_follow_their_seed():
    assert images.random_images((3, 4, 1), 0).shape == (256, 3, 4, 1)
    assert np.array_equal(images.random_images((2, 2, 3), 5), images.random_images((2, 2, 3), 5))
    assert not np.array_equal(images.random_images((2, 2, 3), 5), images.random_images((2, 2, 3), 6))


def test_test_images_come_memory_mapped_from_the_store(tmp_path):
    found = images.test_images(open_prepared(put_prepared(tmp_path), FINGERPRINT))
    assert isinstance(found, np.memmap)
    assert found[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4, 5, 6]


def test_an_empty_test_split_is_refused(tmp_path):
    store = put_prepared(tmp_path, images=0)
    with pytest.raises(InvalidInputError, match="no test image"):
        images.test_images(open_prepared(store, FINGERPRINT))


def test_a_folder_opens_without_its_store(tmp_path):
    put_prepared(tmp_path)
    data = images.open_folder(tmp_path / "store" / "prepared" / FINGERPRINT)
    assert (data.fingerprint, len(data.manifest.classes)) == (FINGERPRINT, 3)


def test_a_folder_that_is_no_prepared_data_says_what_was_expected(tmp_path):
    with pytest.raises(InvalidInputError, match=r"not prepared data: it has no data\.json"):
        images.open_folder(tmp_path)


def test_the_plain_modules_do_not_import_locust():
    assert {checks, null_server, recorder, run_folder}
    assert "locust" not in sys.modules
