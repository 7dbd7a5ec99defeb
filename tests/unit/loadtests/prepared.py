"""A tiny prepared data set in a local store."""

from pathlib import Path

import numpy as np

from core import files
from core.schemas.data import DataSpec, DigitsSource, ImageSpec, PreparedManifest
from core.store import Store

FINGERPRINT = "ab" * 32


def put_prepared(root: Path, shape: tuple[int, int, int] = (4, 5, 1), classes: int = 3, images: int = 7) -> Store:
    """Puts a test split of numbered images (image i is all i) under FINGERPRINT into a store at `root`/store."""
    folder = root / "prepared"
    folder.mkdir()
    pixels = np.broadcast_to(np.arange(images, dtype=np.uint8).reshape(-1, 1, 1, 1), (images, *shape))
    np.save(folder / "test.images.npy", np.ascontiguousarray(pixels))
    np.save(folder / "test.labels.npy", np.arange(images, dtype=np.int64) % classes)
    image = ImageSpec(height=shape[0], width=shape[1], color="grey" if shape[2] == 1 else "rgb")
    names = tuple(f"c{number}" for number in range(classes))
    manifest = PreparedManifest(
        spec=DataSpec(source=DigitsSource(), image=image),
        source_digest="x",
        classes=names,
        counts={"test": dict.fromkeys(names, 1)},
        mean=(0.5,) * shape[2],
        std=(0.5,) * shape[2],
        decoder={},
        golden_indices=(),
        sha256={},
    )
    files.write_json(folder / "data.json", manifest)
    store = Store(str(root / "store"), root / "cache")
    store.put("prepared", FINGERPRINT, folder)
    return store
