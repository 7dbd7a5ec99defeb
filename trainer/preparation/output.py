"""Writes the decoded splits and the golden images."""

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from math import sqrt
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core import files, preprocess
from core.errors import InvalidInputError
from core.schemas.data import SPLITS, DataSpec
from trainer.preparation.arrays import ArrayWriter
from trainer.preparation.decoding import TICK_S, decode_items
from trainer.preparation.sources import Listing

GOLDEN = 8
"""Test items kept as encoded images, for servers to prove themselves with."""
OnProgress = Callable[[int, int], None]


class Progress:
    """Counts images and passes the count on, at most ten times a second."""

    def __init__(self, on_progress: OnProgress) -> None:
        self._on_progress, self._next = on_progress, 0.0
        self.done = self.total = 0

    def tick(self) -> None:
        """Reports if it is time."""
        if time.monotonic() >= self._next or self.done == self.total:
            self._next = time.monotonic() + TICK_S
            self._on_progress(self.done, self.total)


class Kinds:
    """Remembers the first grey and the first colour image."""

    def __init__(self) -> None:
        self._first: dict[bool, str] = {}

    def add(self, found: dict[bool, str]) -> None:
        """Raises InvalidInputError once both kinds have been seen, naming one image of each."""
        self._first = {**found, **self._first}
        if len(self._first) > 1:
            raise InvalidInputError(
                f"mixed channel counts: {self._first[True]} is grey, {self._first[False]} is in colour; convert them "
                "beforehand, or set mixed_channels: convert to turn all of them into image.color"
            )


@dataclass
class Written:
    """What went into the arrays."""

    items: dict[str, NDArray[np.int64]]
    """Split to item numbers, those left out as corrupt not among them."""
    skipped: list[str]
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()


def write_splits(
    listing: Listing, splits: dict[str, NDArray[np.int64]], spec: DataSpec, output: Path, progress: Progress
) -> Written:
    written = Written({}, [])
    kinds = Kinds()
    for split in SPLITS:
        sums = np.zeros((2, spec.image.channels), dtype=np.uint64)
        kept = [np.empty(0, dtype=np.int64)]
        with (
            ArrayWriter(output / f"{split}.images.npy", spec.image.shape, np.uint8) as images,
            closing(decode_items(listing, splits[split], spec, progress.tick)) as chunks,
        ):
            for chunk in chunks:
                if spec.mixed_channels == "error":
                    kinds.add({grey: listing.name(item) for grey, item in chunk.kinds.items()})
                images.append(chunk.images)
                kept.append(chunk.items)
                written.skipped.extend(chunk.rejected)
                sums += chunk.sums
                progress.done += chunk.examined
        items = written.items[split] = np.concatenate(kept)
        np.save(output / f"{split}.labels.npy", listing.labels[items])
        names = "".join(f"{listing.name(item)}\n" for item in items.tolist())
        files.write_text(output / f"{split}.items.txt", names)
        if split == "train":
            written.mean, written.std = _statistics(sums, len(items) * spec.image.height * spec.image.width)
    return written


def _statistics(sums: NDArray[np.uint64], pixels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and population standard deviation of pixel / 255, per channel, from exact whole-number sums."""
    mean, std = [], []
    for total, squares in sums.T.tolist():
        mean.append(total / (255 * pixels) if pixels else 0.0)
        # n·Σx² − (Σx)² in whole numbers: nothing cancels.
        std.append(sqrt(pixels * squares - total * total) / (255 * pixels) if pixels else 0.0)
    return tuple(mean), tuple(value or 1.0 for value in std)


def write_golden(listing: Listing, test: NDArray[np.int64], folder: Path) -> tuple[int, ...]:
    """Writes encoded images of test items spread evenly over the split; returns their places in it."""
    folder.mkdir()
    places = np.unique(np.linspace(0, len(test) - 1, GOLDEN).round().astype(np.int64))
    for number, source in enumerate(listing.read(test[places])):
        data = source if isinstance(source, bytes) else source.read_bytes()
        extension = (preprocess.open_image(data).format or "image").lower()
        files.write_bytes(folder / f"{number}.{extension}", data)
    return tuple(places.tolist())
