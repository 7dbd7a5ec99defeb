"""Small pictures of the data for the report."""

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core.prepared import Split
from core.schemas.summary import Summary
from evaluator.losses import pictured

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


@dataclass(frozen=True)
class Picture:
    """One test image, embedded once however often it is shown. Pixels."""

    width: int
    height: int
    png: bytes

    @property
    def data_uri(self) -> str:
        """The image as a `data:` address."""
        return f"data:image/png;base64,{base64.b64encode(self.png).decode()}"


Pictures = Mapping[int, Picture]
"""Position in the test split to its picture."""


def pictures_of(summary: Summary, test: Split) -> dict[int, Picture]:
    """The test images that galleries of the report show."""
    wanted = pictured([c.losses for c in summary.classifications], summary.disagreements)
    return {index: _picture(np.asarray(test.images[index])) for index in wanted}


def _picture(image: NDArray[np.uint8]) -> Picture:
    png = thumbnail(image)
    # A PNG's header holds width and height, big-endian, from byte 16 on.
    return Picture(int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big"), png)


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
