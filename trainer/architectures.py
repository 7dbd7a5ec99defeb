"""The networks, each written once. A name used in experiment files selects one through `ARCHITECTURES`."""

from collections.abc import Callable
from dataclasses import dataclass

from core.errors import NotFoundError
from trainer.layers import Activation, Architecture, BatchNorm, Conv, Dense, Dropout, Flatten, Head, Layer, Pool

RELU = Activation("relu")


def _mlp(classes: int) -> tuple[Layer, ...]:
    return (Flatten(), Dense(512), RELU, Dropout(0.2), Dense(512), RELU, Dropout(0.2), Dense(classes))


def _digits_cnn(classes: int) -> tuple[Layer, ...]:
    # No bias before batch norm, which subtracts it again: its gradient would be nothing but rounding.
    convs: tuple[Layer, ...] = ()
    for filters in (16, 32):
        convs += (Conv(filters, padding=1, bias=False), BatchNorm(), RELU, Pool())
    return (*convs, Flatten(), Dense(64), RELU, Dropout(0.25), Dense(classes))


def _mnist_cnn(classes: int) -> tuple[Layer, ...]:
    convs = (Conv(32, padding=1), RELU, Pool(), Conv(64, padding=1), RELU, Pool())
    return (*convs, Flatten(), Dense(128), RELU, Dropout(0.5), Dense(classes))


def _cifar_cnn3(classes: int) -> tuple[Layer, ...]:
    convs = (Conv(32), RELU, Pool(), Conv(64), RELU, Pool(), Conv(128), RELU, Pool())
    return (*convs, Flatten(), Dense(128), RELU, Dropout(0.5), Dense(classes))


def _cnn5(classes: int) -> tuple[Layer, ...]:
    convs: tuple[Layer, ...] = ()
    for filters, rate in ((32, 0.0), (64, 0.1), (64, 0.0), (128, 0.2), (256, 0.2)):
        dropout = (Dropout(rate),) if rate else ()
        convs += (Conv(filters, padding=1), RELU, *dropout, BatchNorm(), Pool())
    # A binary task has one logit, as the study has it; more classes get one each.
    return (*convs, Flatten(), Dense(128), RELU, Dropout(0.2), Dense(1 if classes == 2 else classes))


@dataclass(frozen=True)
class Entry:
    """A network family: the layers for a number of classes, and what it was designed for."""

    description: str
    layers: Callable[[int], tuple[Layer, ...]]
    input_shape: tuple[int, int, int]
    classes: int
    binary_head: Head = "softmax"
    """Head used where there are two classes."""


ARCHITECTURES: dict[str, Entry] = {
    "mlp": Entry("Dense network without convolution (study S2).", _mlp, (28, 28, 1), 10),
    "digits-cnn": Entry("Two small convolutions with batch norm, for the demo.", _digits_cnn, (8, 8, 1), 10),
    "mnist-cnn": Entry("Two convolutions and a dense layer (study S2).", _mnist_cnn, (28, 28, 1), 10),
    "cifar-cnn3": Entry("Three convolutions with max pooling (study S5).", _cifar_cnn3, (32, 32, 3), 10),
    "cnn5": Entry("Five convolutions with batch norm and dropout (study S3).", _cnn5, (150, 150, 1), 2, "sigmoid"),
}


def get_architecture(
    name: str, input_shape: tuple[int, int, int] | None = None, classes: int | None = None
) -> Architecture:
    """Builds a network for an input and a number of classes, by default those it was designed for.

    Raises:
        NotFoundError: unknown name, the known ones listed.
        InvalidInputError: the network does not fit the input.
    """
    if name not in ARCHITECTURES:
        raise NotFoundError(f"unknown architecture {name!r}; known: {', '.join(ARCHITECTURES)}")
    entry = ARCHITECTURES[name]
    shape, number = input_shape or entry.input_shape, classes or entry.classes
    head = entry.binary_head if number == 2 else "softmax"
    return Architecture(name, entry.description, shape, number, entry.layers(number), head)
