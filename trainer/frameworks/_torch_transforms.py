"""Resizing and augmentation with torchvision's transforms v2, as PyTorch's tutorials compose them."""

from collections.abc import Callable
from typing import Any

from PIL import Image, ImageOps

from core.schemas.augmentation import Augmentation
from core.schemas.data import ImageSpec
from trainer.frameworks._torchvision import import_torchvision

import_torchvision()
from torchvision.transforms import v2  # noqa: E402  after the shim

Transform = Callable[[Any], Any]


def augmenting(spec: Augmentation, height: int, width: int) -> list[Transform]:
    """The augmentation of one Pillow image.

    torchvision's own meaning: bilinear resampling is asked for (its default is the nearest pixel), what comes from
    outside is black, brightness is a factor.
    """
    found: list[Transform] = []
    if spec.flip:
        found.append(v2.RandomHorizontalFlip())
    if spec.flip_vertical:
        found.append(v2.RandomVerticalFlip())
    if spec.resamples:
        bilinear = v2.InterpolationMode.BILINEAR
        shift, zoom = (spec.shift, spec.shift), (1 - spec.zoom, 1 + spec.zoom)
        found.append(v2.RandomAffine(spec.rotate, shift, zoom, interpolation=bilinear))
    if spec.crop:
        found.append(v2.RandomCrop((height, width), padding=spec.crop))
    if spec.brightness:
        found.append(v2.ColorJitter(brightness=spec.brightness))
    return found


def resizing(spec: ImageSpec) -> Transform:
    """To the size, in the geometry asked for; torchvision's filter (bilinear, antialiased)."""
    size = (spec.width, spec.height)
    fitted = {"crop": ImageOps.fit, "pad": ImageOps.pad}
    if spec.geometry in fitted:
        bilinear = Image.Resampling.BILINEAR
        return v2.Lambda(lambda image: fitted[spec.geometry](image, size, method=bilinear))
    return v2.Resize((spec.height, spec.width))


def to_network() -> list[Transform]:
    """A Pillow image as uint8 [height, width, channels], which the network takes."""
    return [v2.PILToTensor(), v2.Lambda(lambda image: image.permute(1, 2, 0).contiguous())]


def compose(transforms: list[Transform]) -> Transform:
    """One after the other."""
    return v2.Compose(transforms)
