"""Studies S2 to S5 and the demo: plain stacks of convolutions, and one network without any."""

from trainer.architectures.entry import ImageShape
from trainer.layers import Activation, BatchNorm, Conv, Dense, Dropout, Flatten, Layer, Pool

RELU = Activation("relu")


def mlp(shape: ImageShape, classes: int) -> tuple[Layer, ...]:
    return (Flatten(), Dense(512), RELU, Dropout(0.2), Dense(512), RELU, Dropout(0.2), Dense(classes))


def digits_cnn(shape: ImageShape, classes: int) -> tuple[Layer, ...]:
    # No bias before batch norm, which subtracts it again: its gradient would be nothing but rounding.
    convs: tuple[Layer, ...] = ()
    for filters in (16, 32):
        convs += (Conv(filters, padding=1, bias=False), BatchNorm(), RELU, Pool())
    return (*convs, Flatten(), Dense(64), RELU, Dropout(0.25), Dense(classes))


def mnist_cnn(shape: ImageShape, classes: int) -> tuple[Layer, ...]:
    convs = (Conv(32, padding=1), RELU, Pool(), Conv(64, padding=1), RELU, Pool())
    return (*convs, Flatten(), Dense(128), RELU, Dropout(0.5), Dense(classes))


def cifar_cnn3(shape: ImageShape, classes: int) -> tuple[Layer, ...]:
    convs = (Conv(32), RELU, Pool(), Conv(64), RELU, Pool(), Conv(128), RELU, Pool())
    return (*convs, Flatten(), Dense(128), RELU, Dropout(0.5), Dense(classes))


def cnn5(shape: ImageShape, classes: int) -> tuple[Layer, ...]:
    convs: tuple[Layer, ...] = ()
    for filters, rate in ((32, 0.0), (64, 0.1), (64, 0.0), (128, 0.2), (256, 0.2)):
        dropout = (Dropout(rate),) if rate else ()
        convs += (Conv(filters, padding=1), RELU, *dropout, BatchNorm(), Pool())
    return (*convs, Flatten(), Dense(128), RELU, Dropout(0.2), Dense(_logits(classes)))


def cats_dogs_cnn(shape: ImageShape, classes: int) -> tuple[Layer, ...]:
    """S4 leaves sizes open; these are the usual ones for its data (Chollet 2017, section 5.2: 3,453,121 parameters)."""
    convs: tuple[Layer, ...] = ()
    for filters in (32, 64, 128, 128):
        convs += (Conv(filters), RELU, Pool())
    return (*convs, Flatten(), Dropout(0.5), Dense(512), RELU, Dense(_logits(classes)))


def _logits(classes: int) -> int:
    # A binary task has one logit, as the studies have it; more classes get one each.
    return 1 if classes == 2 else classes
