"""scikit-learn's built-in digits: 1,797 grey images of 8×8 pixels."""

import io
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core.errors import MissingExtraError
from core.schemas.data import DigitsSource
from trainer.preparation.sources import ALL, Listing, SourceInspection, Tick, digest_of, require

CLASSES = tuple("0123456789")
IMAGES = 1797
LARGEST = 16
"""The digits' pixels are numbers from 0 to 16."""


def inspect(source: DigitsSource) -> SourceInspection:
    """Known by heart: nothing is loaded. The digits change with scikit-learn's version at most."""
    try:
        digest = digest_of(source.kind, version("scikit-learn"))
    except PackageNotFoundError as error:
        raise MissingExtraError("scikit-learn", "training") from error
    return SourceInspection(digest, CLASSES, {ALL: IMAGES})


def open_source(source: DigitsSource, work: Path, tick: Tick) -> Listing:
    """Loads the digits and scales them to 0–255 by round(v · 255 / 16)."""
    loaded = require("sklearn.datasets").load_digits()
    pixels = np.rint(loaded.images * 255 / LARGEST).astype(np.uint8)

    def read(rows: NDArray[np.int64]) -> list[bytes | Path]:
        return [_png(pixels[row]) for row in rows]

    return Listing(CLASSES, loaded.target.astype(np.int64), {}, "digits[{}]".format, read)


def _png(pixels: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()
