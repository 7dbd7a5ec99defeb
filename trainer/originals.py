"""The images as they were before preparation: what the frameworks' own loaders, decoders and resizers read."""

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core import labels
from core.errors import InvalidInputError, NotFoundError, WrongStateError
from core.prepared import PreparedData
from core.preprocess import explained, flatten_alpha, to_8_bits
from core.schemas.data import DatasetSource, DigitsSource, FolderSource, ImageSpec
from core.schemas.specs import OriginalsSpec
from trainer import tf_formats
from trainer.preparation import dataset, inspect
from trainer.preparation.sources import Tick

PILLOW_MODES: dict[int, Literal["L", "RGB"]] = {1: "L", 3: "RGB"}
"""Channels to the mode loaders ask Pillow for."""
COLORS = {1: "grey", 3: "colour"}
READ = {
    # image_dataset_from_directory goes by name; without what it cannot decode as grey.
    "keras": {1: (".jpeg", ".jpg", ".png"), 3: (".bmp", ".gif", ".jpeg", ".jpg", ".png")},
    # tf.io.decode_image goes by content, and makes grey of JPEG and PNG alone.
    "tensorflow": {
        1: (".jfif", ".jpe", ".jpeg", ".jpg", ".png"),
        3: (".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".png", ".webp"),
    },
}
"""Framework to channels to how files are called that its own loader reads; others read whatever Pillow does."""
REMEDY = "convert the images, or train this arm with pipeline: shared"


@dataclass(frozen=True)
class Originals:
    """The originals of one split, in its order: files, or rows of a data set."""

    labels: NDArray[np.int64]
    """[n]"""
    spec: ImageSpec
    """Size, colours and geometry the loaders aim at; filter and antialiasing are theirs to choose."""
    classes: int
    work: Path
    """Where loaders may put what they need."""
    paths: tuple[Path, ...] = ()
    """[n], or none for rows."""
    rows: Any = None
    """A `datasets.Dataset` with columns `image` and `label`; None for files."""

    def __len__(self) -> int:
        return len(self.labels)

    def source(self, index: int) -> Path | Image.Image:
        """A file, or an image that `datasets` decoded, which turns it as its EXIF orientation says."""
        return self.paths[index] if self.paths else self.rows[index]["image"]

    def pillow(self, index: int) -> Image.Image:
        """As tutorials open images: in the mode of the channels, the first frame, files without regard to EXIF.

        But transparent pixels are black and pixels of 16 bits keep their high byte, as in prepared images.

        Raises:
            InvalidInputError: it cannot be decoded.
        """
        with explained(str(self.paths[index]) if self.paths else f"row {index} of the {self.work.name} images"):
            source = self.source(index)
            image = Image.open(source) if isinstance(source, Path) else source
            return flatten_alpha(to_8_bits(image)).convert(PILLOW_MODES[self.spec.channels])

    def select(self, places: Sequence[int], name: str) -> "Originals":
        """Some of them, in the order given; `name` keeps their work apart."""
        rows = None if self.rows is None else self.rows.select(places)
        paths = tuple(self.paths[place] for place in places) if self.paths else ()
        return replace(self, labels=self.labels[list(places)], work=self.work / name, paths=paths, rows=rows)

    def class_folders(self) -> Path:
        """A folder `<label>/<place>.<extension>` of links to the files, for loaders that want a folder of classes.

        A class without images has a folder too: loaders number the folders they find.
        """
        root = self.work / "class-folders"
        shutil.rmtree(root, ignore_errors=True)
        for label in range(self.classes):
            (root / f"{label:05d}").mkdir(parents=True)
        for place, (path, label) in enumerate(zip(self.paths, self.labels, strict=True)):
            (root / f"{label:05d}" / f"{place:08d}{path.suffix.lower()}").symlink_to(path)
        return root

    def refuse_unreadable(self, framework: str) -> None:
        """Raises InvalidInputError for the first file that a framework's loader does not read."""
        _refuse_unreadable(self.paths, framework, self.spec.channels)


def check_originals(spec: OriginalsSpec) -> None:
    """What can be known before a training starts, without a network.

    Raises:
        WrongStateError: the originals are not where the spec says, or changed since they were prepared.
    """
    try:
        if isinstance(spec.source, DatasetSource) and dataset.local(spec.source) is None:
            return
        digest = inspect(spec.source).digest
    except NotFoundError as error:
        raise WrongStateError(
            f"the original images are missing: {error}; put them there, or train with pipeline: shared, which needs "
            "the prepared data only"
        ) from error
    if digest != spec.digest:
        raise WrongStateError("the original images changed since they were prepared; run the experiment again")


def check_files(spec: OriginalsSpec, framework: str, data: PreparedData) -> None:
    """Raises InvalidInputError for a file that the framework's own loader does not read, as the training would."""
    if isinstance(spec.source, FolderSource):
        root, channels = _root(spec.source), data.manifest.spec.image.channels
        for name in ("train", "validation"):
            _refuse_unreadable((root / item for item in data.items(name)), framework, channels)


def open_originals(spec: OriginalsSpec, data: PreparedData, work: Path, tick: Tick) -> dict[str, Originals] | None:
    """Training and validation originals; None for a source that is arrays already.

    Raises:
        WrongStateError: they are not there, changed, or one of them is missing; names it.
    """
    if isinstance(spec.source, DigitsSource):
        return None
    check_originals(spec)
    found: dict[str, Originals] = {}
    for name in ("train", "validation"):
        manifest = data.manifest
        split = Originals(data.split(name).labels, manifest.spec.image, len(manifest.classes), work / name)
        found[name] = _filled(split, spec.source, data.items(name), tick)
    return found


def _filled(split: Originals, source: FolderSource | DatasetSource, items: list[str], tick: Tick) -> Originals:
    if isinstance(source, FolderSource):
        root = _root(source)
        paths = tuple(root / item for item in items)
        if missing := next((path for path in paths if not path.is_file()), None):
            raise WrongStateError(f"{missing} was prepared and is no longer there; put it back or prepare again")
        return replace(split, paths=paths)
    try:
        # One place for both splits: the data set is converted once, with all the splits it has.
        rows = dataset.open_rows(source, items, split.work.parent, tick)
    except NotFoundError as error:
        raise WrongStateError(f"the originals of the prepared data cannot be opened: {error}") from error
    return replace(split, rows=rows)


def _root(source: FolderSource) -> Path:
    return Path(source.path).expanduser().absolute()


def _refuse_unreadable(paths: Iterable[Path], framework: str, channels: int) -> None:
    if framework not in READ:
        return
    extensions = READ[framework][channels]
    for path in paths:
        if path.suffix.lower() not in extensions:
            raise InvalidInputError(
                f"{labels.framework(framework)}'s own loader does not read {path} as {COLORS[channels]}; it reads "
                f"{', '.join(extensions)}: {REMEDY}"
            )
        if found := tf_formats.unread(path, channels):
            raise InvalidInputError(
                f"{labels.framework(framework)}'s own loader does not read {path} as {COLORS[channels]}: it holds "
                f"{found}; it reads {tf_formats.READS[channels]}, called {', '.join(extensions)}: {REMEDY}"
            )
