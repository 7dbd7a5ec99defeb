"""Folders of images: `<class>/<image>`, or `<split>/<class>/<image>` with split folders named as in `sources.SYNONYMS`.

Symbolic links are followed. Files are taken by extension, hidden ones are passed over, and what else lies around is
reported, not guessed at.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.errors import InvalidInputError, NotFoundError
from core.schemas.base import canonical_json
from core.schemas.data import SPLITS, FolderSource
from trainer.preparation.sources import ALL, Listing, SourceInspection, Tick, check_classes, digest_of, split_called

EXTENSIONS = frozenset((
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".avif",
))  # fmt: skip
LITTER = frozenset(("thumbs.db", "desktop.ini", "__macosx"))
MAY_LACK = ("validation", "test")
"""Splits in which a class folder may be empty: what was trained can be measured on the other classes."""
REPORTED = 50
"""How many ignored files are named one by one."""
EXPECTED = "expected a folder of class folders, <class>/<image>, or of split folders, <split>/<class>/<image>"


@dataclass(frozen=True)
class Scan:
    """All images of a folder, in order of split, class and natural file order. Lists run in parallel."""

    root: Path
    classes: tuple[str, ...]
    paths: list[str]
    """Relative to `root`, with forward slashes."""
    splits: list[str]
    labels: list[int]
    ignored: tuple[str, ...]
    folders: tuple[str, ...] = ()
    """The splits that have a folder, images in it or not."""

    def own(self) -> dict[str, NDArray[np.int64]]:
        """The folder's own splits to item numbers; empty where it has none."""
        splits = np.array(self.splits)
        return {split: np.flatnonzero(splits == split) for split in SPLITS if split in self.folders}

    def counts(self) -> dict[str, int]:
        """Split, or `all`, to number of images."""
        return {split: len(items) for split, items in self.own().items()} or {ALL: len(self.paths)}


def inspect(source: FolderSource) -> SourceInspection:
    """Lists names, sizes and modification times."""
    found = scan(Path(source.path).expanduser())
    check_classes(found.classes)
    digest = sha256()
    for path in found.paths:
        digest.update(canonical_json([path, *_stat(found.root / path)]).encode())
    return SourceInspection(digest_of(source.kind, found.classes, digest.hexdigest()), found.classes, found.counts())


def open_source(source: FolderSource, work: Path, tick: Tick) -> Listing:
    """Lists the images; files are read when they are decoded."""
    found = scan(Path(source.path).expanduser())
    labels = np.array(found.labels, dtype=np.int64)

    def read(rows: NDArray[np.int64]) -> list[bytes | Path]:
        return [found.root / found.paths[row] for row in rows]

    return Listing(found.classes, labels, found.own(), found.paths.__getitem__, read, found.ignored)


def scan(root: Path) -> Scan:
    """Finds layout, classes and images.

    Raises:
        NotFoundError: no folder there.
        InvalidInputError: no class folders, an empty one, or two folders for the same split, each named.
    """
    if not root.is_dir():
        state = "is a file" if root.exists() else "does not exist"
        raise NotFoundError(f"{root.absolute()} {state} on this trainer's machine; {EXPECTED}")
    ignored: list[str] = []
    splits = _split_folders(root, ignored)
    classes = sorted({entry.name for prefix in splits.values() for entry in _folders(root / prefix)})
    if not classes:
        raise InvalidInputError(f"{root} has no class folders; {EXPECTED}")
    found = Scan(root, tuple(classes), [], [], [], ())
    for split, prefix in splits.items():
        for name in (entry.name for entry in _folders(root / prefix)):
            images = _images(root, f"{prefix}{name}", ignored, needed=split not in MAY_LACK)
            found.paths.extend(images)
            found.splits.extend([split] * len(images))
            found.labels.extend([classes.index(name)] * len(images))
    return Scan(root, found.classes, found.paths, found.splits, found.labels, _shortened(ignored), tuple(splits))


def natural(name: str) -> tuple[tuple[str | int, ...], str]:
    """Sort key that puts `frame9` before `frame10`."""
    pieces = re.split(r"([0-9]+)", name)
    return tuple(int(piece) if place % 2 else piece for place, piece in enumerate(pieces)), name


def _split_folders(root: Path, ignored: list[str]) -> dict[str, str]:
    """Split to path prefix; `{"all": ""}` for class folders directly below `root`."""
    entries = list(_visible(root))
    folders = {entry.name: split_called(entry.name) for entry in entries if entry.is_dir()}
    ignored += [f"{entry.name}: not a folder" for entry in entries if not entry.is_dir()]
    trains = [name for name, split in folders.items() if split == "train"]
    # A class may be called "train" too: a split folder holds class folders, a class folder holds images.
    if not any(_folders(root / name) for name in trains):
        return {ALL: ""}
    found: dict[str, str] = {}
    for name, split in folders.items():
        if split is None:
            ignored.append(f"{name}: not one of the split folders train, validation (valid, val), test")
        elif split in found:
            raise InvalidInputError(f"{root} has two folders for split {split}, {found[split]} and {name}/; keep one")
        else:
            found[split] = f"{name}/"
            _check_split_folder(root / name, split, ignored)
    return {split: found[split] for split in SPLITS if split in found}


def _check_split_folder(folder: Path, split: str, ignored: list[str]) -> None:
    if not _folders(folder):
        raise InvalidInputError(
            f"{folder} (split {split}) has no class folders, so its images have no labels; {EXPECTED}"
        )
    ignored += [
        f"{folder.name}/{entry.name}: not in a class folder" for entry in _visible(folder) if not entry.is_dir()
    ]


def _images(root: Path, folder: str, ignored: list[str], needed: bool) -> list[str]:
    """Paths of a class folder's images.

    Raises:
        InvalidInputError: there are none, but for a folder that is quite empty and not `needed`.
    """
    found, inner, others = [], [], len(ignored)
    for entry in _visible(root / folder):
        if entry.is_dir():
            inner.append(entry.name)
            ignored.append(f"{folder}/{entry.name}: a folder inside a class folder")
        elif os.path.splitext(entry.name)[1].casefold() in EXTENSIONS:
            found.append(entry.name)
        else:
            ignored.append(f"{folder}/{entry.name}: not an image by its extension")
    if not found and not needed and len(ignored) == others:
        ignored.append(f"{folder}: no images")
    elif not found:
        hint = f" but folders ({', '.join(sorted(inner)[:3])}, …); did you mean {root / folder}?" if inner else ""
        raise InvalidInputError(f"class folder {root / folder} has no images{hint or '; fill it or remove it'}")
    return [f"{folder}/{name}" for name in sorted(found, key=natural)]


def _folders(folder: Path) -> list[os.DirEntry[str]]:
    return sorted((entry for entry in _visible(folder) if entry.is_dir()), key=lambda entry: entry.name)


def _visible(folder: Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            yield from (e for e in entries if not e.name.startswith(".") and e.name.casefold() not in LITTER)
    except OSError as error:
        raise InvalidInputError(f"{folder} cannot be listed: {error.strerror}; check its permissions") from error


def _stat(path: Path) -> tuple[int, int]:
    """Size and modification time in ns; a broken link shows later, as an image that cannot be read."""
    try:
        found = path.stat()
    except OSError:
        return (-1, -1)
    return (found.st_size, found.st_mtime_ns)


def _shortened(ignored: list[str]) -> tuple[str, ...]:
    named = sorted(ignored)[:REPORTED]
    return (*named, f"and {len(ignored) - REPORTED} more") if len(ignored) > REPORTED else tuple(named)
