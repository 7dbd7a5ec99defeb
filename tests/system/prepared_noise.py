"""A prepared data set of noise with test and validation split, for the models of `tests.unit.serving.published`."""

from pathlib import Path

import numpy as np

from core import files
from core.schemas.data import DataSpec, DigitsSource, ImageSpec, PreparedManifest
from core.store import Store
from tests.unit.serving import published

FINGERPRINT = "cd" * 32


def put_noise(root: Path, images: int, validation: int = 20, classes: tuple[str, ...] = published.CLASSES) -> Store:
    """A store at `root`/store with `published.images(images)` as test split under FINGERPRINT; labels go round."""
    folder = root / "noise"
    folder.mkdir()
    sizes = {"test": images, "validation": validation}
    for seed, (split, size) in enumerate(sizes.items()):
        np.save(folder / f"{split}.images.npy", published.images(size, seed))
        np.save(folder / f"{split}.labels.npy", np.arange(size, dtype=np.int64) % len(classes))
        files.write_text(folder / f"{split}.items.txt", "".join(f"{split}/{number}.png\n" for number in range(size)))
    height, width, _ = published.SHAPE
    manifest = PreparedManifest(
        spec=DataSpec(source=DigitsSource(), image=ImageSpec(height=height, width=width, color="grey")),
        source_digest="x",
        classes=classes,
        counts={split: _counts(size, classes) for split, size in sizes.items()},
        mean=(0.5,),
        std=(0.5,),
        decoder={},
        golden_indices=(),
        sha256={},
    )
    files.write_json(folder / "data.json", manifest)
    store = Store(str(root / "store"), root / "cache")
    store.put("prepared", FINGERPRINT, folder)
    return store


def _counts(images: int, classes: tuple[str, ...]) -> dict[str, int]:
    return {name: len(range(place, images, len(classes))) for place, name in enumerate(classes)}
