"""fastai's own way from original images to batches: a DataBlock, item transforms, `aug_transforms` on whole batches."""

import multiprocessing
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from core.errors import InvalidInputError
from core.preprocess import to_8_bits
from core.schemas.augmentation import Augmentation
from core.schemas.data import ImageSpec
from core.schemas.recipe import Recipe
from trainer.batches import balanced_chances
from trainer.framework import TrainingData
from trainer.frameworks._torch_workers import decoding_workers
from trainer.frameworks._torchvision import import_torchvision

import_torchvision()
from fastai.callback import data as _weighted  # noqa: E402, F401  adds weighted_dataloaders to DataBlock
from fastai.data.block import CategoryBlock, DataBlock  # noqa: E402  after the shim
from fastai.data.transforms import IndexSplitter  # noqa: E402
from fastai.vision.augment import (  # noqa: E402
    AffineCoordTfm,
    CropPad,
    PadMode,
    RandomCrop,
    Resize,
    ResizeMethod,
    affine_mat,
    aug_transforms,
)
from fastai.vision.core import PILImage, PILImageBW, TensorImage  # noqa: E402
from fastai.vision.data import ImageBlock  # noqa: E402
from fasttransform.transform import Transform  # noqa: E402

OWN_WORKERS = 16
"""The most that fastai starts by itself, where there are so many cores."""
GEOMETRIES = {"stretch": ResizeMethod.Squish, "crop": ResizeMethod.Crop, "pad": ResizeMethod.Pad}


class Bytes(Transform):
    """The last step: floats from 0 to 1, channels first, as the bytes and the layout that the network takes."""

    order = 100

    def encodes(self, images: TensorImage) -> None:  # None: fastai leaves the type of what comes out alone
        scaled = images.as_subclass(Tensor).mul(255).round_().clamp_(0, 255)
        return scaled.byte().permute(0, 2, 3, 1).contiguous()


DEEP = (".png", ".tif", ".tiff", ".pgm")
"""How files are called that may have 16 bits a pixel."""


class Named:
    """Says which file cannot be opened."""

    @classmethod
    def create(cls, source: Path | Image.Image) -> Any:
        """fastai's own, with a domain error; but Pillow's conversion makes nearly every pixel of 16 bits white."""
        try:
            if isinstance(source, Path) and source.suffix.lower() in DEEP:
                with Image.open(source) as image:
                    if image.mode.startswith("I;16"):
                        mode = cls._open_args["mode"]  # type: ignore[attr-defined]
                        return super().create(to_8_bits(image).convert(mode))  # type: ignore[misc]
            return super().create(source)  # type: ignore[misc]
        except (OSError, EOFError) as error:
            raise InvalidInputError(f"{source} cannot be decoded: {error}") from error


class Colour(Named, PILImage):
    """RGB."""


class Grey(Named, PILImageBW):
    """Grey values."""


class Items:
    """All images of both splits, the training images first, by number."""

    def __init__(self, data: TrainingData) -> None:
        self.data = data
        self.labels = np.concatenate([data.train.labels, data.validation.labels])

    def image(self, item: int) -> Path | Image.Image:
        """What `PILImage.create` takes: a file, or an image that was one of a data set or of an array."""
        first = len(self.data.train)
        split, place = ("train", item) if item < first else ("validation", item - first)
        originals = self.data.original(split)
        if originals is None:
            return (self.data.train if split == "train" else self.data.validation).pillow(place)
        return originals.paths[place] if originals.paths else originals.pillow(place)

    def label(self, item: int) -> str:
        """Class name."""
        return self.data.classes[self.labels[item]]


def loaders(data: TrainingData, recipe: Recipe, threads: int) -> Any:
    """`DataLoaders` of (uint8 [n, height, width, channels], category): the training half shuffled and augmented."""
    items, vary = Items(data), recipe.augmentation
    height, width, channels = data.train.images.shape[1:]
    first, originals = len(data.train), data.original("train")
    block = DataBlock(
        blocks=(ImageBlock(Grey if channels == 1 else Colour), CategoryBlock(list(data.classes), sort=False)),
        # Lambdas: fastai takes a bound method for a class of transforms.
        get_x=lambda item: items.image(item),
        get_y=lambda item: items.label(item),
        splitter=IndexSplitter(range(first, len(items.labels))),
        item_tfms=[*resizing(originals.spec if originals else None), *cropping(vary, height, width)],
        batch_tfms=[*batch_augmentation(vary), Bytes()],
    )
    # fastai drops the last partial batch; of a split smaller than one batch nothing would be left.
    workers = decoding_workers(recipe, originals, default=own_workers(threads))
    if workers:  # fastai's loader takes the default of the process and no other
        multiprocessing.set_start_method("fork", force=True)
    settings = {
        "bs": recipe.batch,
        "num_workers": workers,
        "device": torch.device("cpu"),
        "drop_last": first >= recipe.batch,
    }
    if recipe.sampler == "weighted":
        chances = np.append(balanced_chances(data.train.labels), np.zeros(len(data.validation)))
        return block.weighted_dataloaders(range(len(items.labels)), chances, **settings)
    return block.dataloaders(range(len(items.labels)), **settings)


def own_workers(threads: int) -> int:
    """fastai's default, for the threads of a training in place of the machine's cores."""
    return min(OWN_WORKERS, threads)


def resizing(spec: ImageSpec | None) -> list[Any]:
    """fastai's Resize in the geometry asked for; nothing for arrays, which have their size."""
    if spec is None:
        return []
    return [Resize((spec.height, spec.width), method=GEOMETRIES[spec.geometry], pad_mode=PadMode.Zeros)]


def cropping(vary: Augmentation, height: int, width: int) -> list[Any]:
    """Black padding, and a random window of the image's size (the middle one in validation)."""
    if not vary.crop:
        return []
    # Their own order would put them before Resize.
    padded = (height + 2 * vary.crop, width + 2 * vary.crop)
    return [CropPad(padded, order=2), RandomCrop((height, width), order=3)]


def batch_augmentation(vary: Augmentation) -> list[Any]:
    """`aug_transforms` with these figures, without warping; fastai's own probabilities, reflection at the border and
    contrast beside brightness. Shift and vertical flip, which it lacks, are two more of its affine transforms."""
    if not vary.model_copy(update={"crop": 0}).active:
        return []
    extra = []
    if vary.shift:
        extra.append(AffineCoordTfm(aff_fs=lambda images: _shift(images, vary.shift)))
    if vary.flip_vertical:
        extra.append(AffineCoordTfm(aff_fs=_flip_vertical))
    found: list[Any] = aug_transforms(
        do_flip=vary.flip,
        max_rotate=vary.rotate,
        min_zoom=1 - vary.zoom,
        max_zoom=1 + vary.zoom,
        max_lighting=vary.brightness,
        max_warp=0.0,
        xtra_tfms=extra,
    )
    return found


def _shift(images: Tensor, share: float) -> Tensor:
    """Affine matrices [n, 3, 3]; an image spans −1 to 1."""
    x, y = (images.new_empty(len(images)).uniform_(-2 * share, 2 * share) for _ in range(2))
    one, nought = torch.ones_like(x), torch.zeros_like(x)
    return affine_mat(one, nought, x, nought, one, y)


def _flip_vertical(images: Tensor) -> Tensor:
    sign = 1 - 2 * torch.bernoulli(images.new_full((len(images),), 0.5))
    one, nought = torch.ones_like(sign), torch.zeros_like(sign)
    return affine_mat(one, nought, nought, nought, sign, nought)
