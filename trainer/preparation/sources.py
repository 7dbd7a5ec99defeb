"""What every kind of source offers, and the registry that selects one by its `kind`."""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import InvalidInputError, MissingExtraError
from core.schemas.base import canonical_json
from core.schemas.data import SPLITS, Source

Tick = Callable[[], None]
"""Called every now and then while something takes its time; may raise CancelledError."""

MODULES = {
    "digits": "trainer.preparation.digits",
    "folder": "trainer.preparation.folder",
    "dataset": "trainer.preparation.dataset",
}

SYNONYMS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing"),
}
"""Our split names, and what folders and data sets call them, in any case."""

ALL = "all"
"""Where a source that has no splits of its own counts its images."""

# Line ends would break labels.txt and items.txt; lone surrogates (a file name that is not UTF-8) cannot be written.
_UNWRITABLE = re.compile("[\x00-\x1f\x7f\x85\u2028\u2029\ud800-\udfff]")


@dataclass(frozen=True)
class SourceInspection:
    """What a source is known to hold before any image is decoded."""

    digest: str
    """Changes when the source changes."""
    classes: tuple[str, ...]
    """In label order; empty where only loading the source would tell."""
    images: dict[str, int]
    """The source's own splits, or `all`, to number of images; empty where only loading the source would tell."""


@dataclass(frozen=True)
class Listing:
    """Every item of an opened source, numbered from 0 to n − 1 in the source's order."""

    classes: tuple[str, ...]
    labels: NDArray[np.int64]
    """[n], indices into `classes`."""
    own: dict[str, NDArray[np.int64]]
    """The source's own splits (train, validation, test) to their items; empty where it has none."""
    name: Callable[[int], str]
    """What an item is called in items.txt and in errors: a path below the source, or `split[index]`."""
    read: Callable[[NDArray[np.int64]], list[bytes | Path]]
    """Encoded images of some items, in order. Called from several threads; an unreadable item shows when decoded."""
    ignored: tuple[str, ...] = ()
    """What else lay in the source, each with the reason why it was left out."""


def inspect(source: Source) -> SourceInspection:
    """Looks at a source without decoding an image.

    Raises:
        NotFoundError: nothing there; names the path and what was expected.
        InvalidInputError: something there that is not a usable source.
        MissingExtraError: the library that reads it is not installed.
    """
    found: SourceInspection = import_module(MODULES[source.kind]).inspect(source)
    return found


def open_source(source: Source, work: Path, tick: Tick) -> Listing:
    """Lists every item of a source. `work` is a folder for what has to be downloaded or converted first."""
    listing: Listing = import_module(MODULES[source.kind]).open_source(source, work, tick)
    check_classes(listing.classes)
    for name in map(listing.name, range(len(listing.labels))):
        check_name(name)
    return listing


def split_called(name: str) -> str | None:
    """Our name of a split, or None for a name that is none: `Valid` → `validation`."""
    return next((split for split in SPLITS if name.casefold() in SYNONYMS[split]), None)


def check_classes(classes: tuple[str, ...]) -> None:
    """Raises InvalidInputError for fewer than two classes, or a class name that labels.txt cannot hold."""
    if len(classes) < 2:
        found = f"only one class, {classes[0]!r}" if classes else "no class"
        raise InvalidInputError(f"the source has {found}; a classifier needs at least two")
    for name in classes:
        check_name(name)


def check_name(name: str) -> None:
    """Raises InvalidInputError for a class or file name with line ends, control characters or bytes not UTF-8."""
    if not name.strip() or _UNWRITABLE.search(name):
        raise InvalidInputError(
            f"the name {name!r} is empty or holds line ends, control characters or bytes that are not UTF-8; rename it"
        )


def digest_of(*parts: Any) -> str:
    """sha256 over JSON values."""
    return hashlib.sha256(canonical_json(parts).encode()).hexdigest()


def require(module: str) -> Any:
    """Imports a library of the `training` extra. Raises MissingExtraError where it is not installed."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise MissingExtraError(str(error.name), "training") from error
