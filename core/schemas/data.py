"""Where images come from, what becomes of them, and how they are split."""

from collections.abc import Sequence
from typing import Annotated, Literal

import pydantic

from core.schemas.base import Schema

SPLITS = ("train", "validation", "test")


class DigitsSource(Schema):
    """scikit-learn's 1,797 handwritten digits, 8×8 grey, ten classes; built in."""

    kind: Literal["digits"] = "digits"


class FolderSource(Schema):
    """A folder of class folders, `<class>/<image>`, or of split folders, `<split>/<class>/<image>`."""

    kind: Literal["folder"] = "folder"
    path: str = pydantic.Field(min_length=1)
    """Absolute, or relative to where the trainer service runs."""


class DatasetSource(Schema):
    """Anything Hugging Face `datasets` loads: a name on the hub, or a local folder of Parquet files."""

    kind: Literal["dataset"] = "dataset"
    name: str = pydantic.Field(min_length=1)
    """Hub name (`ylecun/mnist`) or path of a local folder."""
    config: str | None = None
    revision: str | None = None
    image_column: str | None = None
    """Default: the only column of type Image."""
    label_column: str | None = None
    """Default: the only column of type ClassLabel."""


Source = Annotated[DigitsSource | FolderSource | DatasetSource, pydantic.Field(discriminator="kind")]
SOURCE: pydantic.TypeAdapter[DigitsSource | FolderSource | DatasetSource] = pydantic.TypeAdapter(Source)


class ImageSpec(Schema):
    """How an encoded image becomes a uint8 array; `core.preprocess` is the only implementation."""

    height: int = pydantic.Field(ge=1, le=4096)
    width: int = pydantic.Field(ge=1, le=4096)
    color: Literal["grey", "rgb"] = "rgb"
    exif: bool = True
    """Apply the EXIF orientation before anything else."""
    geometry: Literal["stretch", "crop", "pad"] = "stretch"
    """stretch: to the size; crop: shorter side to size, centre crop; pad: longer side to size, black borders. fastai's
    own pipeline crops and pads training images at random places."""
    filter: Literal["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"] = "bilinear"
    antialias: bool = True
    """True: Pillow's resize, whose filter support grows when shrinking. False: sampling (bilinear, nearest)."""

    @property
    def channels(self) -> int:
        return 1 if self.color == "grey" else 3

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width, channels."""
        return (self.height, self.width, self.channels)

    @pydantic.model_validator(mode="after")
    def _sampling(self) -> "ImageSpec":
        if not self.antialias and self.filter not in ("nearest", "bilinear"):
            raise ValueError(f"antialias: false goes with filter nearest or bilinear, not {self.filter}")
        if not self.antialias and self.geometry != "stretch":
            raise ValueError(f"antialias: false goes with geometry stretch, not {self.geometry}")
        return self


class SplitSpec(Schema):
    """How items are divided into train, validation and test."""

    policy: Literal["given", "stratified", "contiguous"] = "given"
    """given: the source's own splits, a missing validation split carved from train by class; stratified: random by
    class; contiguous: per class, in file order, one block for each split (neighbouring video frames stay together)."""
    validation: float | pydantic.StrictInt = 0.1
    """Share of the training items (given) or of all items (other policies); a whole number: so many images of every
    class. Not used by policy given where it keeps the source's own validation split."""
    own_validation: Literal["keep", "join"] = pydantic.Field("keep", exclude_if=lambda value: value == "keep")
    """What policy given does with the source's own validation split: keep it, or join it with train and carve another,
    where its few images say nothing. Left out where it is the default, so that data prepared before keeps its id."""
    test: float = pydantic.Field(0.2, gt=0, lt=1)
    """Share of all items; not used by policy given where the source has a test split."""
    folds: int | None = pydantic.Field(None, ge=2, le=100)
    """k-fold: what is not test is divided by class into so many parts, one of which is the validation split, the rest
    train, whatever the policy gave; at random, with contiguous in blocks."""
    fold: int = pydantic.Field(0, ge=0)
    """Which part, from 0, is the validation split."""
    seed: int = pydantic.Field(0, ge=0)

    @pydantic.field_validator("validation")
    @classmethod
    def _share_or_images(cls, validation: float | int) -> float | int:
        if 0 < validation < 1 or (isinstance(validation, int) and validation >= 1):
            return validation
        raise ValueError("expected a share between 0 and 1, or a whole number of images of every class")

    @pydantic.model_validator(mode="after")
    def _own_splits(self) -> "SplitSpec":
        if self.own_validation == "join" and self.policy != "given":
            raise ValueError(
                f"own_validation join goes with policy given; {self.policy} divides all images anew anyway"
            )
        return self

    @pydantic.model_validator(mode="after")
    def _one_of_the_folds(self) -> "SplitSpec":
        if self.fold >= (self.folds or 1):
            raise ValueError(f"fold {self.fold} is not among {self.folds or 'no'} folds, which count from 0")
        return self

    @pydantic.model_validator(mode="after")
    def _images_or_folds(self) -> "SplitSpec":
        if self.folds is not None and isinstance(self.validation, int):
            raise ValueError(f"validation {self.validation} has no meaning with folds, which are the validation split")
        return self

    @pydantic.model_validator(mode="after")
    def _something_left_to_train_on(self) -> "SplitSpec":
        share = self.validation if isinstance(self.validation, float) else 0.0
        if self.policy != "given" and share + self.test >= 1:
            raise ValueError(
                f"validation {self.validation:g} and test {self.test:g} leave nothing to train on; lower one"
            )
        return self


class DataSpec(Schema):
    """All that decides the prepared bytes."""

    source: Source
    image: ImageSpec
    split: SplitSpec = SplitSpec()
    limit: int | None = pydantic.Field(None, ge=1)
    """At most so many images of each class in each split: drawn at random, with contiguous blocks the first ones.
    Folds divide what it leaves of train and validation."""
    skip_corrupt: bool = False
    """Leave out images that cannot be decoded and list them, instead of stopping."""
    mixed_channels: Literal["error", "convert"] = "error"
    """What to do with a source that holds grey and colour images: stop and name one of each (a mixture is often a slip,
    and a class can betray itself by it), or convert all of them to image.color."""


class PreparedManifest(Schema):
    """`data.json` of a prepared data set: what the arrays beside it hold."""

    schema_version: Literal[1] = 1
    spec: DataSpec
    source_digest: str
    classes: tuple[str, ...]
    counts: dict[str, dict[str, int]]
    """Split to class to number of images."""
    mean: tuple[float, ...]
    """Per channel, of pixel / 255 over the training split."""
    std: tuple[float, ...]
    """Per channel, of pixel / 255 over the training split (population); 1 for a constant channel, so that dividing is
    harmless."""
    skipped: tuple[str, ...] = ()
    """Items left out as corrupt, each with the reason."""
    ignored: tuple[str, ...] = ()
    """What lay in the source and was not taken for images, each with the reason."""
    decoder: dict[str, str]
    """Distribution name to version of what decoded and resized."""
    golden_indices: tuple[int, ...]
    """Test items whose encoded images lie in `golden/`, in the order of the file names."""
    sha256: dict[str, str]
    """File name to sha256 of every array file."""

    def images(self, split: str) -> int:
        """Number of images in a split."""
        return sum(self.counts[split].values())

    def without(self, split: str) -> tuple[str, ...]:
        """The classes of which a split has no image, in label order."""
        return absent(self.counts, self.classes, split)


def class_names(names: Sequence[str], most: int = 8) -> str:
    """Classes for a sentence, the first ones by name: `class 'a'`, `classes 'a' and 'b'`."""
    shown = [repr(name) for name in names[:most]]
    if len(names) == 1:
        return f"class {shown[0]}"
    rest = [f"{len(names) - most:,} more"] if len(names) > most else [shown.pop()]
    return f"classes {', '.join(shown)} and {rest[0]}"


def absent(counts: dict[str, dict[str, int]], classes: tuple[str, ...], split: str) -> tuple[str, ...]:
    """The classes of which a split has no image, in label order; none for a split that is not there."""
    return tuple(name for name in classes if not counts[split].get(name)) if split in counts else ()
