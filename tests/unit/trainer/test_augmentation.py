"""The shared augmentation: what each change does, and that it depends on nothing but seed, epoch and item."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from core.schemas.augmentation import Augmentation
from trainer.augmentation import Augmenter, grid

EVERYTHING = Augmentation(
    flip=True, flip_vertical=True, rotate=20, zoom=0.2, shift=0.1, crop=2, brightness=0.3
)  # fmt: skip
ITEMS = 50


def pictures(height: int = 9, width: int = 11, channels: int = 3) -> NDArray[np.uint8]:
    """ITEMS images without any symmetry, bright enough that black is no part of them."""
    return np.random.default_rng(0).integers(60, 200, (ITEMS, height, width, channels), dtype=np.uint8)


def vary(spec: Augmentation, images: NDArray[np.uint8], seed: int = 0, epoch: int = 1) -> NDArray[np.uint8]:
    return Augmenter(spec, seed, epoch, ITEMS)(images, np.arange(ITEMS))


def options() -> st.SearchStrategy[Augmentation]:
    share = st.sampled_from([0.0, 0.2])
    switch = st.booleans()
    degrees, pixels = st.sampled_from([0.0, 30.0]), st.sampled_from([0, 3])
    return st.builds(
        Augmentation, flip=switch, flip_vertical=switch, rotate=degrees, zoom=share, shift=share, crop=pixels,
        brightness=share,
    )  # fmt: skip


@settings(deadline=None, max_examples=60)
@given(spec=options(), channels=st.sampled_from([1, 3]), height=st.integers(1, 9), width=st.integers(1, 9))
def test_shape_and_dtype_stay_and_so_does_what_was_given(
    spec: Augmentation, channels: int, height: int, width: int
) -> None:
    images = pictures(height, width, channels)
    before = images.copy()
    images.flags.writeable = False
    varied = vary(spec, images)
    assert (varied.shape, varied.dtype) == (images.shape, np.uint8)
    np.testing.assert_array_equal(images, before)


@settings(deadline=None, max_examples=30)
@given(spec=options(), start=st.integers(0, ITEMS - 1), size=st.integers(0, 20))
def test_an_image_is_varied_alike_in_whatever_batch_it_comes(spec: Augmentation, start: int, size: int) -> None:
    images = pictures()
    items = np.arange(start, min(start + size, ITEMS))[::-1]
    some = Augmenter(spec, 0, 1, ITEMS)(images[items], items)
    np.testing.assert_array_equal(some, vary(spec, images)[items])


@pytest.mark.parametrize("change", [{"seed": 1}, {"epoch": 2}])
def test_another_seed_or_epoch_varies_otherwise(change: dict[str, int]) -> None:
    images = pictures()
    assert (vary(EVERYTHING, images) != vary(EVERYTHING, images, **change)).any(axis=(1, 2, 3)).all()


def test_without_augmentation_the_images_are_the_ones_given() -> None:
    images = pictures()
    assert vary(Augmentation(), images) is images


@pytest.mark.parametrize(("spec", "axis"), [(Augmentation(flip=True), 2), (Augmentation(flip_vertical=True), 1)])
def test_about_half_of_the_images_are_mirrored_and_the_others_untouched(spec: Augmentation, axis: int) -> None:
    images = pictures()
    varied = vary(spec, images)
    mirrored = (varied == np.flip(images, axis)).all(axis=(1, 2, 3))
    same = (varied == images).all(axis=(1, 2, 3))
    assert (mirrored ^ same).all()
    assert 15 <= mirrored.sum() <= 35


def test_a_crop_moves_whole_pixels_at_most_the_padding_and_fills_with_black() -> None:
    images = pictures(channels=1)
    padded = np.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0)))
    seen = set()
    for image, source in zip(vary(Augmentation(crop=2), images), padded, strict=True):
        windows = {(y, x): source[y : y + 9, x : x + 11] for y in range(5) for x in range(5)}
        seen |= {place for place, window in windows.items() if np.array_equal(window, image)}
    assert len(seen) > 15
    assert {y for y, _ in seen} == {x for _, x in seen} == set(range(5))


def test_a_crop_with_more_padding_than_image_may_show_nothing_but_black() -> None:
    varied = vary(Augmentation(crop=30), pictures(3, 3))
    assert (varied == 0).all(axis=(1, 2, 3)).any()


@pytest.mark.parametrize("other", [Augmentation(crop=2, rotate=1e-9), Augmentation(crop=2, flip=True, zoom=1e-9)])
def test_a_crop_is_the_same_with_and_without_resampling(other: Augmentation) -> None:
    """Both ways of moving pixels agree where there is nothing between pixels."""
    images = pictures()
    exact = vary(other.model_copy(update={"rotate": 0.0, "zoom": 0.0}), images)
    assert np.abs(vary(other, images).astype(int) - exact).max() <= 1


def test_a_rotation_turns_around_the_centre_by_at_most_its_angle() -> None:
    image = np.zeros((ITEMS, 41, 41, 1), np.uint8)
    image[:, 4:7, 19:22] = 255  # 15 pixels above the centre
    varied = vary(Augmentation(rotate=40), image).astype(float)[..., 0]
    total = varied.sum(axis=(1, 2))
    y = (varied.sum(axis=2) * np.arange(-20, 21)).sum(axis=1) / total
    x = (varied.sum(axis=1) * np.arange(-20, 21)).sum(axis=1) / total
    angles = np.degrees(np.arctan2(x, -y))
    np.testing.assert_allclose(np.hypot(x, y), 15, atol=0.2)
    assert -40.5 < angles.min() < -30
    assert 30 < angles.max() < 40.5


def test_zoom_draws_the_content_larger_and_smaller_within_its_bounds() -> None:
    image = np.zeros((ITEMS, 40, 40, 1), np.uint8)
    image[:, 10:30, 10:30] = 255
    areas = vary(Augmentation(zoom=0.2), image).sum(axis=(1, 2, 3)) / image[0].sum()
    assert 0.8**2 - 0.02 < areas.min() < 0.8
    assert 1.2 < areas.max() < 1.2**2 + 0.02


def test_a_shift_moves_the_content_by_a_share_of_each_side() -> None:
    image = np.zeros((ITEMS, 40, 80, 1), np.uint8)
    image[:, 18:22, 38:42] = 255
    varied = vary(Augmentation(shift=0.25), image).astype(float)[..., 0]
    rows = (varied.sum(axis=2) * np.arange(40)).sum(axis=1) / varied.sum(axis=(1, 2)) - 19.5
    columns = (varied.sum(axis=1) * np.arange(80)).sum(axis=1) / varied.sum(axis=(1, 2)) - 39.5
    assert 8 < np.abs(rows).max() <= 10.01
    assert 16 < np.abs(columns).max() <= 20.01


def test_brightness_multiplies_rounds_and_clips() -> None:
    images = np.full((ITEMS, 2, 2, 1), 200, np.uint8)
    levels = vary(Augmentation(brightness=0.5), images).reshape(ITEMS, 4)
    assert (levels == levels[:, :1]).all()
    assert 100 <= levels.min() < 115
    assert levels.max() == 255
    assert 150 < np.median(levels) < 250


def test_switching_one_change_on_leaves_the_others_as_they_were() -> None:
    images = pictures()
    flipped = vary(Augmentation(flip=True), images)
    brighter = vary(Augmentation(flip=True, brightness=1e-9), images)
    np.testing.assert_array_equal(brighter, flipped)


def test_the_stream_of_items_does_not_depend_on_how_many_there_are() -> None:
    images = pictures()[:3]
    few, many = (Augmenter(EVERYTHING, 0, 1, number)(images, np.arange(3)) for number in (3, 70_000))
    np.testing.assert_array_equal(few, many)


def test_a_grid_has_one_line_for_each_row_with_white_between() -> None:
    row = np.zeros((3, 4, 5, 3), np.uint8)
    picture = np.asarray(grid([row, row], gap=2))
    assert picture.shape == (4 + 2 + 4, 5 * 3 + 2 * 2, 3)
    assert (picture[4:6] == 255).all()
    assert (picture[:4, 5:7] == 255).all()
    assert not picture[:4, :5].any()
