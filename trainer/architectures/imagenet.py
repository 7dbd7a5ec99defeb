"""ResNet (He et al. 2016) and VGG (Simonyan and Zisserman 2015) in torchvision's layout, layer for layer."""

from collections.abc import Sequence

from trainer.architectures.entry import ImageShape
from trainer.layers import Activation, BatchNorm, Conv, Dense, Dropout, Flatten, GlobalPool, Layer, Pool, Residual

RELU = Activation("relu")
RESNET_FILTERS = (64, 128, 256, 512)
RESNET_BLOCKS = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3)}
"""BasicBlocks per stage."""
VGG11_FILTERS = ((64,), (128,), (256, 256), (512, 512), (512, 512))
"""Convolutions between one max pool and the next."""
VGG_UNITS, VGG_MAP = 4096, 7


def resnet18(shape: ImageShape, classes: int) -> tuple[Layer, ...]:
    return resnet(classes, RESNET_BLOCKS["resnet18"])


def resnet34(shape: ImageShape, classes: int) -> tuple[Layer, ...]:
    return resnet(classes, RESNET_BLOCKS["resnet34"])


def resnet(classes: int, blocks: Sequence[int], filters: Sequence[int] = RESNET_FILTERS) -> tuple[Layer, ...]:
    """A residual network of BasicBlocks, so many in each stage; every stage but the first halves the image."""
    layers: tuple[Layer, ...] = (Conv(filters[0], 7, 2, 3, bias=False), BatchNorm(), RELU, Pool("max", 3, 2, 1))
    for stage, (number, width) in enumerate(zip(blocks, filters, strict=True)):
        for block in range(number):
            layers += _basic_block(width, halves=stage > 0 and block == 0)
    return (*layers, GlobalPool(), Dense(classes))


def third_stage(name: str) -> str:
    """Path of the first block of a ResNet's third stage, torchvision's `layer3`."""
    return f"residual{sum(RESNET_BLOCKS[name][:2]) + 1}"


def vgg11(shape: ImageShape, classes: int) -> tuple[Layer, ...]:
    return vgg(shape, classes, VGG11_FILTERS)


def vgg(shape: ImageShape, classes: int, filters: Sequence[Sequence[int]], units: int = VGG_UNITS) -> tuple[Layer, ...]:
    """A VGG without batch norm.

    torchvision averages the last feature map to 7×7 whatever its size. Where the map is a whole multiple of 7×7 that is
    an average pool, and it is here too. Any other map is flattened as it is: blown up to 7×7 it would cost 49 times the
    weights and say nothing new. Such a net has another first dense layer, and torchvision's weights do not fit it.
    """
    layers: tuple[Layer, ...] = ()
    for group in filters:
        for width in group:
            layers += (Conv(width, padding=1), RELU)
        layers += (Pool(),)
    last = {size // 2 ** len(filters) for size in shape[:2]}
    size = last.pop()
    if not last and size > VGG_MAP and size % VGG_MAP == 0:
        layers += (Pool("average", size // VGG_MAP, size // VGG_MAP),)
    dense = (Dense(units), RELU, Dropout(0.5))
    return (*layers, Flatten(), *dense, *dense, Dense(classes))


def _basic_block(filters: int, halves: bool) -> tuple[Layer, ...]:
    stride = 2 if halves else 1
    first = (Conv(filters, stride=stride, padding=1, bias=False), BatchNorm(), RELU)
    body = (*first, Conv(filters, padding=1, bias=False), BatchNorm())
    shortcut = (Conv(filters, kernel=1, stride=2, bias=False), BatchNorm()) if halves else ()
    return (Residual(body, shortcut), RELU)
