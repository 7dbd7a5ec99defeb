"""Image files to a model's input, by the model's own preprocessing."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.errors import InvalidInputError, MissingExtraError
from core.schemas.data import ImageSpec


def decode_files(paths: Sequence[Path], spec: ImageSpec) -> NDArray[np.uint8]:
    """uint8 [n, height, width, channels] in the order of `paths`.

    Raises:
        InvalidInputError: names a file that is no image.
        MissingExtraError: Pillow is not installed, which who sends arrays does without.
    """
    try:
        from core import preprocess
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"decoding image files ({error.name})", "images") from error
    return np.stack([preprocess.decode(path, spec, str(path)) for path in paths])


def batches(paths: Sequence[Path], size: int) -> Iterator[Sequence[Path]]:
    """`paths` in pieces of at most `size`. InvalidInputError where there is nothing to do."""
    if not paths or size < 1:
        raise InvalidInputError(f"{len(paths)} files in batches of {size}: expected at least one of each")
    for start in range(0, len(paths), size):
        yield paths[start : start + size]
