"""Reads prepared data: uint8 NHWC memory maps and their manifest."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core.errors import WrongStateError
from core.schemas.base import parse_json
from core.schemas.data import PreparedManifest
from core.store import Store

MANIFEST = "data.json"


@dataclass(frozen=True)
class Split:
    """One split: `images` uint8 [n, height, width, channels] (memory-mapped), `labels` int64 [n]."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def pillow(self, index: int) -> Image.Image:
        """One image as Pillow has it, grey or RGB."""
        pixels = np.asarray(self.images[index])
        return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)


@dataclass(frozen=True)
class PreparedData:
    """A prepared data set on local disk."""

    fingerprint: str
    directory: Path
    manifest: PreparedManifest

    def split(self, name: str) -> Split:
        """Opens a split without reading it into memory."""
        images = np.load(self.directory / f"{name}.images.npy", mmap_mode="r")
        labels = np.load(self.directory / f"{name}.labels.npy")
        return Split(images, labels)

    def items(self, name: str) -> list[str]:
        """Where each image of a split came from: a file path or `split[index]`, in order."""
        # Not splitlines: a file name may hold characters that count as line ends there.
        return (self.directory / f"{name}.items.txt").read_text(encoding="utf-8").split("\n")[:-1]

    def golden_files(self) -> list[Path]:
        """Encoded images of the golden cases, in order."""
        folder = self.directory / "golden"
        return sorted(folder.iterdir(), key=lambda p: int(p.stem))


def open_prepared(store: Store, fingerprint: str) -> PreparedData:
    """Opens prepared data by fingerprint. Raises WrongStateError when it is not in the store."""
    if not store.has("prepared", fingerprint):
        raise WrongStateError(f"no prepared data {fingerprint} in {store.url}; run its prepare step first")
    directory = store.path("prepared", fingerprint)
    path = directory / MANIFEST
    return PreparedData(fingerprint, directory, parse_json(PreparedManifest, path.read_bytes(), str(path)))
