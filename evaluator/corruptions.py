"""What happens to images outside the laboratory, at five severities: noise, blur, lost contrast, JPEG.

Kinds and strengths follow Hendrycks and Dietterich, Benchmarking Neural Network Robustness to Common Corruptions, 2019:
noise and contrast as in their CIFAR variant, JPEG as in their ImageNet one. Blur is theirs for CIFAR, by the share of
the shorter edge, but never less than a third of a pixel a step, so that it also shows on images of 8 × 8.
"""

import io
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from core.schemas.specs import Corruption

SEVERITIES = (1, 2, 3, 4, 5)
NOISE = (0.04, 0.06, 0.08, 0.09, 0.10)
"""Standard deviation of Gaussian noise, as a share of 255."""
BLUR = (0.0125, 0.019, 0.022, 0.025, 0.031)
"""Standard deviation of a Gaussian blur, as a share of the shorter edge."""
BLUR_STEP = 1 / 3
CONTRAST = (0.75, 0.5, 0.4, 0.3, 0.15)
"""What is left of the distance from the image's own mean."""
JPEG = (25, 18, 15, 10, 7)
"""Quality."""
SEED = 20190301

One = Callable[[NDArray[np.uint8], int, int], NDArray[np.uint8]]


def corrupt(images: NDArray[np.uint8], kind: Corruption, severity: int, first: int) -> NDArray[np.uint8]:
    """Corrupted copies, uint8 [n, height, width, channels].

    Args:
        severity: 1 to 5.
        first: position of the first image in its split. Noise depends on it and on nothing else, so any batch size, and
            a run that was interrupted, give the same pixels.
    """
    one = KINDS[kind]
    return np.stack([one(image, severity, first + offset) for offset, image in enumerate(images)])


def _noise(image: NDArray[np.uint8], severity: int, index: int) -> NDArray[np.uint8]:
    drawn = np.random.Generator(np.random.Philox(key=[SEED, index])).standard_normal(image.shape)
    return _to_uint8(image + 255 * NOISE[severity - 1] * drawn)


def _blur(image: NDArray[np.uint8], severity: int, _index: int) -> NDArray[np.uint8]:
    radius = max(BLUR[severity - 1] * min(image.shape[:2]), BLUR_STEP * severity)
    return _from_picture(_picture(image).filter(ImageFilter.GaussianBlur(radius)), image.shape)


def _contrast(image: NDArray[np.uint8], severity: int, _index: int) -> NDArray[np.uint8]:
    mean = image.mean(axis=(0, 1), keepdims=True)
    return _to_uint8(mean + CONTRAST[severity - 1] * (image - mean))


def _jpeg(image: NDArray[np.uint8], severity: int, _index: int) -> NDArray[np.uint8]:
    buffer = io.BytesIO()
    _picture(image).save(buffer, "JPEG", quality=JPEG[severity - 1])
    with Image.open(buffer) as decoded:
        return _from_picture(decoded, image.shape)


KINDS: Mapping[Corruption, One] = {"noise": _noise, "blur": _blur, "contrast": _contrast, "jpeg": _jpeg}


def _picture(image: NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)


def _from_picture(picture: Image.Image, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    return np.asarray(picture, dtype=np.uint8).reshape(shape)


def _to_uint8(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    return np.asarray(np.clip(np.rint(values), 0, 255), dtype=np.uint8)
