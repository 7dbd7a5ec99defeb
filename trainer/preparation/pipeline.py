"""From a spec to a prepared data set in the store, at most once."""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from core import files, preprocess
from core.prepared import MANIFEST, open_prepared
from core.schemas.base import canonical_json
from core.schemas.data import SPLITS, DataSpec, PreparedManifest, class_names
from core.schemas.specs import PrepareSpec
from core.store import Store
from trainer.preparation.output import OnProgress, Progress, write_golden, write_splits
from trainer.preparation.sources import Listing, digest_of, inspect, open_source
from trainer.preparation.splits import check, divide

GAPS = {
    "validation": "each epoch's validation, temperature and threshold are those of the other classes",
    "test": "nothing will say how well that is recognised, and the report is marked incomplete",
}
"""What it means that a split has no image of a class."""


@dataclass(frozen=True)
class Prepared:
    """A prepared data set that is in the store."""

    fingerprint: str
    manifest: PreparedManifest


def prepare(spec: PrepareSpec, store: Store, work: Path, on_progress: OnProgress) -> Prepared:
    """Decodes, resizes, splits and publishes a source, unless the store already holds the same.

    Args:
        work: folder for intermediate files; what this call puts there is gone when it returns.
        on_progress: called with images done and in total about ten times a second, from this thread; the total is 0
            while it is not known. Raising CancelledError there stops the work.

    Raises:
        NotFoundError: no such source.
        InvalidInputError: a source that cannot be used as asked; the message names file or class.
    """
    digest = inspect(spec.data.source).digest
    key = digest_of(digest, spec.data.model_dump(mode="json"), preprocess.versions())
    fingerprint = _cached(store, key)
    if fingerprint is None:
        work.mkdir(parents=True, exist_ok=True)
        # A cancelled download may still be writing below `work` while it is removed.
        with TemporaryDirectory(prefix="prepare-", dir=work, ignore_cleanup_errors=True) as folder:
            fingerprint = _prepare(spec.data, digest, Path(folder), store, Progress(on_progress))
            files.write_text(Path(folder) / "key" / "source.json", canonical_json({"fingerprint": fingerprint}))
            store.put("sources", key, Path(folder) / "key")
    return Prepared(fingerprint, open_prepared(store, fingerprint).manifest)


def _cached(store: Store, key: str) -> str | None:
    if not store.has("sources", key):
        return None
    fingerprint = str(store.read_json("sources", key, "source.json")["fingerprint"])
    return fingerprint if store.has("prepared", fingerprint) else None


def _prepare(spec: DataSpec, digest: str, folder: Path, store: Store, progress: Progress) -> str:
    progress.tick()
    listing = open_source(spec.source, folder, progress.tick)
    splits = divide(listing.labels, listing.classes, listing.own, spec.split, spec.limit)
    progress.total = sum(map(len, splits.values()))
    output = folder / "output"
    output.mkdir()
    written = write_splits(listing, splits, spec, output, progress)
    check(written.items, listing.labels, listing.classes)
    golden = write_golden(listing, written.items["test"], output / "golden")
    manifest = PreparedManifest(
        spec=spec,
        source_digest=digest,
        classes=listing.classes,
        counts=_counts(written.items, listing),
        mean=written.mean,
        std=written.std,
        skipped=tuple(written.skipped),
        ignored=listing.ignored,
        decoder=preprocess.versions(),
        golden_indices=golden,
        sha256={path.name: files.sha256_file(path) for path in sorted(output.iterdir()) if path.is_file()},
    )
    files.write_json(output / MANIFEST, manifest)
    progress.tick()
    fingerprint = fingerprint_of(manifest)
    store.put("prepared", fingerprint, output)
    return fingerprint


def gaps(manifest: PreparedManifest) -> tuple[str, ...]:
    """One line for each split after training that has no image of some class: what that means for the figures."""
    return tuple(
        f"no {split} image of {class_names(missing)}: {meaning}"
        for split, meaning in GAPS.items()
        if (missing := manifest.without(split))
    )


def fingerprint_of(manifest: PreparedManifest) -> str:
    """sha256 over what somebody who trains or tests on the data can tell: the bytes, and what they mean."""
    meaning = {
        "classes": manifest.classes,
        "counts": manifest.counts,
        "image": manifest.spec.image.model_dump(mode="json"),
        "sha256": manifest.sha256,
    }
    return sha256(canonical_json(meaning).encode()).hexdigest()


def _counts(items: dict[str, NDArray[np.int64]], listing: Listing) -> dict[str, dict[str, int]]:
    def count(split: NDArray[np.int64]) -> dict[str, int]:
        numbers: list[int] = np.bincount(listing.labels[split], minlength=len(listing.classes)).tolist()
        return dict(zip(listing.classes, numbers, strict=True))

    return {split: count(items[split]) for split in SPLITS}
