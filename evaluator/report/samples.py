"""Small pictures of the data for the report."""

import base64
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core.prepared import Split

EDGE = 96
"""Pixels of a thumbnail's longer side; smaller images stay as they are, the page enlarges them without blur."""
LIMIT = 32
"""Most samples shown."""


@dataclass(frozen=True)
class Sample:
    """One image of the data with its class."""

    label: str
    png: bytes

    @property
    def data_uri(self) -> str:
        """The image as a `data:` address."""
        return f"data:image/png;base64,{base64.b64encode(self.png).decode()}"


def thumbnail(image: NDArray[np.uint8]) -> bytes:
    """PNG of one uint8 [height, width, 1 or 3] image, at most EDGE pixels on the longer side."""
    picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    picture.thumbnail((EDGE, EDGE))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def samples_of(split: Split, classes: tuple[str, ...]) -> tuple[Sample, ...]:
    """The first image of each class that has one, at most LIMIT."""
    found: list[Sample] = []
    for index, name in enumerate(classes):
        where: Any = np.flatnonzero(split.labels == index)
        if len(where) and len(found) < LIMIT:
            found.append(Sample(name, thumbnail(np.asarray(split.images[where[0]]))))
    return tuple(found)
