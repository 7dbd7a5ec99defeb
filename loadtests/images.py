"""Which images a load test sends: drawn with a seed from the prepared test split, or random pixels."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.errors import InvalidInputError
from core.prepared import MANIFEST, PreparedData
from core.schemas.base import parse_json
from core.schemas.data import PreparedManifest

RANDOM_IMAGES = 256


def draw(images: NDArray[np.uint8], batch_size: int, seed: int, user: int) -> Iterator[NDArray[np.uint8]]:
    """Endless batches for one user, with repetition: the same seed and user give the same batches.

    Args:
        images: uint8 [n, height, width, channels], n ≥ 1; only the rows drawn are read.

    Yields:
        uint8 [batch_size, height, width, channels].
    """
    generator = np.random.Generator(np.random.Philox(key=[seed, user]))
    while True:
        yield np.asarray(images[generator.integers(len(images), size=batch_size)])


def random_images(shape: tuple[int, int, int], seed: int) -> NDArray[np.uint8]:
    """uint8 [256, height, width, channels] of noise: for a look at latency where accuracy plays no part."""
    generator = np.random.Generator(np.random.Philox(key=[seed, 0]))
    return generator.integers(0, 256, size=(RANDOM_IMAGES, *shape), dtype=np.uint8)


def open_folder(folder: Path) -> PreparedData:
    """Prepared data by its folder, without a store. Raises InvalidInputError where there is none."""
    path = folder / MANIFEST
    if not path.is_file():
        raise InvalidInputError(
            f"{folder} is not prepared data: it has no {MANIFEST}; expected <store>/prepared/<fingerprint>"
        )
    return PreparedData(folder.name, folder, parse_json(PreparedManifest, path.read_bytes(), str(path)))


def test_images(data: PreparedData) -> NDArray[np.uint8]:
    """The test split, memory-mapped. Raises InvalidInputError where it is empty."""
    images = data.split("test").images
    if not len(images):
        raise InvalidInputError(f"prepared data {data.fingerprint[:12]}… has no test image to send; split it again")
    return images
