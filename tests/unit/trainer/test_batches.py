"""Matched batches: every image once an epoch, and nothing depends on what was drawn before."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.prepared import Split
from core.schemas.augmentation import Augmentation
from trainer.architectures import get_architecture
from trainer.batches import (
    TURN_BATCHES,
    TURN_BYTES,
    Batch,
    drawn_together,
    epoch_order,
    matched_batches,
    steps_per_epoch,
    view_numbers,
)
from trainer.layers import Architecture, Conv, Dense, Dropout, Flatten
from trainer.random import generator

NET = Architecture("net", "", (4, 4, 1), 3, (Conv(2), Dropout(0.25), Flatten(), Dropout(0.5), Dense(3)))


def split(n: int) -> Split:
    """Image i is filled with i, and so is its label."""
    return Split(np.repeat(np.arange(n, dtype=np.uint8), 16).reshape(n, 4, 4, 1), np.arange(n, dtype=np.int64))


def epoch(n: int = 10, seed: int = 0, number: int = 1, size: int = 4) -> list[Batch]:
    return list(matched_batches(split(n), NET, seed, number, size))


@settings(deadline=None, max_examples=40)
@given(n=st.integers(1, 50), size=st.integers(1, 60))
def test_every_image_comes_exactly_once_with_its_own_label(n: int, size: int) -> None:
    batches = epoch(n, size=size)
    assert len(batches) == steps_per_epoch(n, size)
    assert sorted(np.concatenate([batch.labels for batch in batches]).tolist()) == list(range(n))
    for batch in batches:
        np.testing.assert_array_equal(batch.images[:, 0, 0, 0], batch.labels)


def test_the_same_key_gives_the_same_batches_and_masks() -> None:
    for one, other in zip(epoch(), epoch(), strict=True):
        np.testing.assert_array_equal(one.images, other.images)
        assert one.masks.keys() == other.masks.keys() == {"dropout1", "dropout2"}
        for path in one.masks:
            np.testing.assert_array_equal(one.masks[path], other.masks[path])


@pytest.mark.parametrize("change", [{"seed": 1}, {"number": 2}])
def test_another_seed_or_epoch_gives_another_order_and_other_masks(change: dict[str, int]) -> None:
    one, other = epoch(40), epoch(40, **change)
    assert [b.labels.tolist() for b in one] != [b.labels.tolist() for b in other]
    assert (one[0].masks["dropout2"] != other[0].masks["dropout2"]).any()


def test_augmented_images_are_those_of_their_epoch_and_item_in_any_batch_size() -> None:
    images = np.random.default_rng(0).integers(0, 256, (10, 4, 4, 1), dtype=np.uint8)
    data, vary = Split(images, np.arange(10)), Augmentation(flip=True, shift=0.2, brightness=0.5)
    by_item = []
    for size in (3, 10):
        batches = matched_batches(data, NET, 0, 2, size, vary)
        by_item.append(
            {label: image.tobytes() for b in batches for label, image in zip(b.labels, b.images, strict=True)}
        )
    assert by_item[0] == by_item[1]
    assert by_item[0] != dict(enumerate(image.tobytes() for image in images))


def test_an_image_that_is_drawn_again_in_an_epoch_is_varied_anew_whatever_the_batch_size() -> None:
    images = np.random.default_rng(0).integers(0, 256, (40, 4, 4, 1), dtype=np.uint8)
    data, vary = Split(images, np.array([0] * 36 + [1] * 4)), Augmentation(flip=True, shift=0.2, brightness=0.5)
    found = []
    for size in (7, 40):
        batches = matched_batches(data, NET, 0, 1, size, vary, "weighted")
        rare = [image.tobytes() for b in batches for image in b.images[b.labels == 1]]
        # 20 draws of four images on average.
        assert len(rare) > 10
        assert len(set(rare)) > 0.9 * len(rare)
        found.append(sorted(rare))
    assert found[0] == found[1]


def test_what_is_drawn_first_has_the_numbers_of_its_image_and_repeats_have_new_ones() -> None:
    assert view_numbers(np.array([2, 0, 1])).tolist() == [2, 0, 1]
    assert view_numbers(np.array([2, 2, 0, 2])).tolist() == [2, 4, 0, 5]
    assert view_numbers(np.array([], dtype=np.int64)).tolist() == []


def test_masks_are_zeros_and_ones_of_the_layers_shape_and_rate() -> None:
    batch = epoch(250, size=250)[0]
    masks = batch.masks
    assert masks["dropout1"].shape == (250, 2, 2, 2)
    assert masks["dropout2"].shape == (250, 8)
    assert set(np.unique(masks["dropout1"])) == {0, 1}
    assert masks["dropout1"].mean() == pytest.approx(0.75, abs=0.04)
    assert masks["dropout2"].mean() == pytest.approx(0.5, abs=0.04)


def test_masks_differ_from_step_to_step() -> None:
    batches = epoch(40, size=20)
    assert (batches[0].masks["dropout2"] != batches[1].masks["dropout2"]).any()


def test_small_batches_are_drawn_several_at_a_time_and_masks_count_where_they_are_drawn() -> None:
    small = get_architecture("mnist-cnn", (28, 28, 1), 10)
    assert drawn_together(64, small, masks=True) == TURN_BATCHES
    assert drawn_together(1, small, masks=True) == TURN_BATCHES
    large = get_architecture("cnn5", (150, 150, 1), 3)
    assert drawn_together(32, large, masks=False) == TURN_BYTES // (32 * 150 * 150)
    masks = sum(math.prod(node.output_shape) for node in large.dropouts)
    assert masks > 150 * 150
    assert drawn_together(32, large, masks=True) == max(1, TURN_BYTES // (32 * (150 * 150 + masks)))
    assert drawn_together(1024, large, masks=True) == 1


def test_random_numbers_depend_on_the_key_alone() -> None:
    # Written down once: if these change, no earlier training can be repeated.
    assert generator(0, "order", 1).integers(0, 1000, 4).tolist() == [144, 989, 874, 886]
    assert generator(1, 2).random() != generator(12).random()


def test_a_weighted_sampler_draws_every_class_equally_often_whatever_the_imbalance() -> None:
    labels = np.array([0] * 900 + [2] * 100)
    drawn = labels[epoch_order(labels, 0, 1, "weighted")]
    assert len(drawn) == 1000
    assert 400 < (drawn == 2).sum() < 600


def test_a_weighted_sampler_draws_another_order_every_epoch_and_the_same_for_the_same_epoch() -> None:
    labels = np.arange(20) % 3
    orders = [epoch_order(labels, 0, number, "weighted").tolist() for number in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]
