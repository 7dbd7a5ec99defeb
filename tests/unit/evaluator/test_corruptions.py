import numpy as np
import pytest

from evaluator.corruptions import KINDS, SEVERITIES, corrupt
from tests.unit.serving import published


@pytest.fixture(params=[(8, 8, 1), (32, 24, 3)], ids=["grey 8x8", "rgb 32x24"])
def images(request) -> np.ndarray:
    height, width, channels = request.param
    # Smooth, as photographs are: JPEG and blur change noise beyond measure.
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.sin(x / 3 + n) * np.cos(y / 2 - n) for n in range(4 * channels)]
    stacked = np.stack(waves, axis=-1).reshape(height, width, 4, channels).transpose(2, 0, 1, 3)
    return (127.5 + 100 * stacked).astype(np.uint8)


@pytest.mark.parametrize("kind", KINDS)
def test_a_corruption_changes_images_the_more_the_worse_and_keeps_their_shape(images, kind):
    before = images.copy()
    distances = []
    for severity in SEVERITIES:
        found = corrupt(images, kind, severity, 0)
        assert (found.shape, found.dtype) == (images.shape, np.uint8)
        distances.append(np.abs(found.astype(float) - images).mean())
    assert distances[0] > 0
    assert distances[-1] > 1.5 * distances[0]
    assert distances == sorted(distances)
    np.testing.assert_array_equal(images, before)


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_is_corrupted_alike_whatever_batch_it_is_in(images, kind):
    whole = corrupt(images, kind, 3, 10)
    pieces = [corrupt(images[i : i + 1], kind, 3, 10 + i) for i in range(len(images))]
    np.testing.assert_array_equal(whole, np.concatenate(pieces))


def test_two_images_get_different_noise():
    flat = np.full((2, 8, 8, 1), 128, np.uint8)
    found = corrupt(flat, "noise", 1, 0)
    assert (found[0] != found[1]).any()


def test_extremes_stay_in_range():
    ends = np.stack([np.zeros(published.SHAPE, np.uint8), np.full(published.SHAPE, 255, np.uint8)])
    noisy = corrupt(ends, "noise", 5, 0)
    assert noisy[0].max() < 130
    assert noisy[1].min() > 125
