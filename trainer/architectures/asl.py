"""Study S1, American Sign Language: its Keras nets, its grid of 27, and its two strided fastai nets.

What the study leaves open is chosen here: the strided nets have filters 8, 16, 32, 64, 128 and end in flatten and one
dense layer, which fits images of any size; a last strided convolution down to 1×1 would fit one size only. They have no
bias before batch norm, which would subtract it again.
"""

from core.networks import ASL_GRID
from trainer.architectures.entry import Entry, Family, ImageShape
from trainer.layers import Activation, BatchNorm, Conv, Dense, Flatten, Layer, Pool, Residual

RELU = Activation("relu")
STRIDED_FILTERS = (8, 16, 32, 64, 128)
SHAPE, CLASSES = (64, 64, 3), 29


def asl_cnn(shape: ImageShape, classes: int) -> tuple[Layer, ...]:
    """The study names no activation between its two dense layers."""
    return (Conv(64), RELU, Pool(), Conv(128), RELU, Pool(), Flatten(), Dense(64), Dense(classes))


def strided(shape: ImageShape, classes: int) -> tuple[Layer, ...]:
    convs: tuple[Layer, ...] = ()
    for filters in STRIDED_FILTERS:
        convs += _conv(filters, stride=2)
    return (*convs, Flatten(), Dense(classes))


def resblock(shape: ImageShape, classes: int) -> tuple[Layer, ...]:
    """The strided net with a residual block of two convolutions after each strided one."""
    convs: tuple[Layer, ...] = ()
    for filters in STRIDED_FILTERS:
        convs += (*_conv(filters, stride=2), Residual((*_conv(filters), *_conv(filters))))
    return (*convs, Flatten(), Dense(classes))


def grid(d: int, u: int, c: int) -> Entry:
    """One net of the grid: c convolutions of u filters with pools, d dense layers of u units, the sigmoid head."""

    def layers(shape: ImageShape, classes: int) -> tuple[Layer, ...]:
        return (*(Conv(u), RELU, Pool()) * c, Flatten(), *(Dense(u), RELU) * d, Dense(classes))

    description = f"S1's grid: {c} × conv {u} and pool, {d} × dense {u}, sigmoid head."
    return Entry(description, layers, SHAPE, CLASSES, "normalized_sigmoid")


GRID = Family(
    ASL_GRID,
    "S1's grid of 27: d dense layers, u units or filters in each layer, c convolutions; sigmoid head.",
    grid,
)


def _conv(filters: int, stride: int = 1) -> tuple[Layer, ...]:
    return (Conv(filters, stride=stride, padding=1, bias=False), BatchNorm(), RELU)
