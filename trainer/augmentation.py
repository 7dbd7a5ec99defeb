"""The shared augmentation: the same pixels for every framework, a pure function of (seed, epoch, view).

Pillow computes the affine part. It is there for decoding anyway, resamples in C without the interpreter lock, so that
a thread of its own keeps ahead of the training, and gives equal bytes for equal versions. Of 32×32 and 150×150 colour
images it needed 44 and 520 µs of CPU time each; scipy.ndimage 110 and 1,740, gathers in NumPy 120 and 2,220.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core.schemas.augmentation import Augmentation
from trainer.random import generator

COLUMNS = 8
"""Numbers an image takes from the stream, whether its augmentation uses them or not: flip, vertical flip, rotation,
zoom, two for the shift, two for the crop. Switching one on leaves the others as they were."""
FIXED_POINT = 1 << 16


class Augmenter:
    """Varies training images of one epoch.

    Args:
        augmentation: what to vary, and how far.
        seed, epoch: with the view's number they decide everything.
        views: how many there are. An image that is drawn again in an epoch is another view of it.
    """

    def __init__(self, augmentation: Augmentation, seed: int, epoch: int, views: int) -> None:
        self._spec = augmentation
        # Row after row from one counter-based stream: row i does not depend on how many follow.
        self._places = generator(seed, "augment", epoch).random((views, COLUMNS))
        self._lights = generator(seed, "brightness", epoch).random(views)

    def __call__(self, images: NDArray[np.uint8], views: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Varied copies of uint8 images [n, height, width, channels], which are the views of these numbers [n]."""
        if not self._spec.active:
            return images
        places = self._places[views]
        move = self._resample if self._spec.resamples else self._rearrange
        return self._light(move(images, places), self._lights[views])

    def _resample(self, images: NDArray[np.uint8], places: NDArray[np.float64]) -> NDArray[np.uint8]:
        height, width = images.shape[1:3]
        moved = np.empty_like(images)
        matrices = inverse_matrices(self._spec, places, height, width)
        grey = images.shape[3] == 1
        for image, matrix, target in zip(images, matrices.tolist(), moved, strict=True):
            source = Image.fromarray(image[..., 0] if grey else image)
            drawn = source.transform((width, height), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
            target[...] = np.asarray(drawn).reshape(target.shape)
        return moved

    def _rearrange(self, images: NDArray[np.uint8], places: NDArray[np.float64]) -> NDArray[np.uint8]:
        """Flips and crops move whole pixels: no arithmetic, no loss."""
        height, width = images.shape[1:3]
        moved = np.zeros_like(images)
        offsets, signs = _crop_offsets(self._spec, places), _flip_signs(self._spec, places)
        for image, (dx, dy), (sx, sy), target in zip(images, offsets.tolist(), signs.tolist(), moved, strict=True):
            (rows, from_rows), (columns, from_columns) = _overlap(dy, height), _overlap(dx, width)
            target[rows, columns] = image[::sy, ::sx][from_rows, from_columns]
        return moved

    def _light(self, images: NDArray[np.uint8], lights: NDArray[np.float64]) -> NDArray[np.uint8]:
        if not self._spec.brightness:
            return images
        factors = 1.0 + self._spec.brightness * (2.0 * lights - 1.0)
        # Whole numbers round alike everywhere; 255 · 2 · 2¹⁶ fits 32 bits.
        fixed = np.rint(factors * FIXED_POINT).astype(np.uint32).reshape(-1, 1, 1, 1)
        bright = images * fixed
        bright += FIXED_POINT // 2
        bright >>= 16
        clipped: NDArray[np.uint8] = np.minimum(bright, 255, out=bright).astype(np.uint8)
        return clipped


def _flip_signs(spec: Augmentation, places: NDArray[np.float64]) -> NDArray[np.int64]:
    """[n, 2]: −1 where x, where y is mirrored, else 1."""
    wanted = np.array([spec.flip, spec.flip_vertical])
    return np.where((places[:, :2] < 0.5) & wanted, -1, 1)


def inverse_matrices(spec: Augmentation, places: NDArray[np.float64], height: int, width: int) -> NDArray[np.float64]:
    """[n, 6]: (a, b, c, d, e, f) of x_in = a·x + b·y + c, y_in = d·x + e·y + f in Pillow's continuous coordinates."""
    signs = _flip_signs(spec, places)
    either = 2.0 * places[:, 2:6] - 1.0
    angle = np.radians(spec.rotate * either[:, 0])
    scale = 1.0 / (1.0 + spec.zoom * either[:, 1])
    cos, sin = np.cos(angle) * scale, np.sin(angle) * scale
    shift = spec.shift * either[:, 2:4] * (width, height) - _crop_offsets(spec, places)
    # Output pixel → undo crop and shift → undo rotation and zoom around the centre → undo the flip.
    a, b, d, e = cos * signs[:, 0], sin * signs[:, 0], -sin * signs[:, 1], cos * signs[:, 1]
    x, y = width / 2 + shift[:, 0], height / 2 + shift[:, 1]
    return np.stack([a, b, width / 2 - a * x - b * y, d, e, height / 2 - d * x - e * y], axis=1)


def _crop_offsets(spec: Augmentation, places: NDArray[np.float64]) -> NDArray[np.int64]:
    """[n, 2]: how far the window lies right of and below the image, −crop to crop, each whole number alike."""
    return np.floor(places[:, 6:8] * (2 * spec.crop + 1)).astype(np.int64) - spec.crop


def _overlap(offset: int, length: int) -> tuple[slice, slice]:
    """Where the window holds image: its own pixels, and the image's."""
    first, last = max(0, -offset), min(length, length - offset)
    return slice(first, max(first, last)), slice(first + offset, max(first, last) + offset)


def grid(rows: list[NDArray[np.uint8]], gap: int = 2) -> Image.Image:
    """One picture of rows of images: uint8 [columns, height, width, channels] each, of one shape, white between."""
    columns, height, width, channels = rows[0].shape
    size = (len(rows) * (height + gap) - gap, columns * (width + gap) - gap, channels)
    canvas = np.full(size, 255, np.uint8)
    for i, row in enumerate(rows):
        for j, image in enumerate(row):
            top, left = i * (height + gap), j * (width + gap)
            canvas[top : top + height, left : left + width] = image
    return Image.fromarray(canvas[..., 0] if channels == 1 else canvas)
