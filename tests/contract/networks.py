"""The networks and the data every framework is put through: small, deterministic, no special case left out."""

import numpy as np
from numpy.typing import NDArray

from core.prepared import Split
from core.schemas.augmentation import Augmentation
from core.schemas.names import Framework
from core.schemas.recipe import Adam, Recipe, Sgd
from trainer.architectures import get_architecture
from trainer.architectures.imagenet import resnet, vgg
from trainer.framework import BuildSettings
from trainer.layers import (
    Activation,
    Architecture,
    BatchNorm,
    Conv,
    Dense,
    Dropout,
    Flatten,
    GlobalPool,
    Pool,
    Residual,
)
from trainer.random import generator
from trainer.weights import Weights

BATCH = 8
PATCH = 4
EPOCHS_TO_LEARN = 10
EPOCH_IMAGES = 4 * BATCH + 3
STEPS = (1, 10)
MODES = ("matched", "idiomatic")
OPTIMIZERS = {"adam": Adam(), "sgd": Sgd(learning_rate=0.05, momentum=0.9)}
RELU = Activation("relu")


def _residual() -> Architecture:
    identity = Residual(
        (Conv(6, padding=1, bias=False), BatchNorm(), RELU, Dropout(0.3), Conv(6, padding=1), BatchNorm())
    )
    shortcut = (Conv(8, kernel=1, stride=2, bias=False), BatchNorm())
    projection = Residual((Conv(8, stride=2, padding=1), BatchNorm(), RELU), shortcut)
    stem = (Conv(6, stride=2, padding=1, bias=False), BatchNorm(), RELU, Pool("max", size=3, stride=2, padding=1))
    layers = (*stem, identity, RELU, projection, RELU, GlobalPool(), Dense(5))
    return Architecture("residual", "Strides, padding, residual blocks, global pool.", (19, 17, 3), 5, layers)


def _smooth() -> Architecture:
    convs = (Conv(4), Activation("tanh"), Pool("average"), Conv(6, padding=1), Activation("sigmoid"))
    layers = (
        *convs,
        Pool("average", size=3, stride=1, padding=1),
        Flatten(),
        Dense(7, bias=False),
        Activation("tanh"),
        Dense(3),
    )
    return Architecture("smooth", "Average pools, tanh, sigmoid.", (12, 10, 3), 3, layers, "normalized_sigmoid")


def _binary() -> Architecture:
    layers = (Conv(4, kernel=5, padding=2), RELU, Pool(), Flatten(), Dense(6), RELU, Dense(1))
    return Architecture("binary", "One logit for two classes.", (9, 9, 3), 2, layers, "sigmoid")


def _vector_norm() -> Architecture:
    layers = (Flatten(), Dense(12), BatchNorm(), RELU, Dropout(0.5), Dense(4))
    return Architecture("vector-norm", "Batch norm and dropout of vectors.", (6, 5, 1), 4, layers)


def _resnet() -> Architecture:
    return Architecture("resnet-small", "ResNet's blocks, narrow.", (33, 35, 3), 5, resnet(5, (1, 2), (4, 6)))


def _vgg() -> Architecture:
    shape = (56, 56, 3)
    return Architecture("vgg-small", "VGG's, narrow.", shape, 5, vgg(shape, 5, ((3,), (4, 4)), units=8))


CASES: dict[str, Architecture] = {
    "mlp": get_architecture("mlp", (8, 8, 1)),
    "digits-cnn": get_architecture("digits-cnn"),
    "mnist-cnn": get_architecture("mnist-cnn", (12, 12, 1)),
    "cifar-cnn3": get_architecture("cifar-cnn3", (22, 22, 3)),
    "cnn5": get_architecture("cnn5", (32, 32, 1)),
    "residual": _residual(),
    "smooth": _smooth(),
    "binary": _binary(),
    "vector-norm": _vector_norm(),
    "resnet-small": _resnet(),
    "cats-dogs-cnn": get_architecture("cats-dogs-cnn", (46, 46, 3)),
    "asl-cnn": get_architecture("asl-cnn", (14, 14, 3)),
    "asl-cnn-softmax": get_architecture("asl-cnn-softmax", (14, 14, 3)),
    "asl-strided": get_architecture("asl-strided", (40, 40, 3)),
    "asl-resblock": get_architecture("asl-resblock", (40, 40, 3)),
    "asl-grid-d2-u32-c3": get_architecture("asl-grid-d2-u32-c3", (24, 24, 3)),
    "vgg-small": _vgg(),
}
FULL: dict[str, Architecture] = {
    f"{name}-full": get_architecture(name) for name in ("mlp", "mnist-cnn", "cifar-cnn3", "cnn5")
}
"""The networks of the cases that are reduced above, at the input size of their study."""
TWINS = {"resnet18": "resnet-small", "resnet34": "resnet-small", "vgg11": "vgg-small"}
"""Too large for a suite that runs on every change; the same function builds the narrow twin."""
TORCHVISION = {
    **{name: get_architecture(name, (64, 64, 3), 10) for name in ("resnet18", "resnet34")},
    "vgg11": get_architecture("vgg11", (224, 224, 3), 10),
}
"""At a small size; VGG-11's weights fit no smaller one."""
LOADED_BY: dict[str, tuple[Framework, ...]] = {"vgg11": ("tensorflow", "pytorch")}
"""Not by all: 129 million weights take seconds and two gigabytes each time. What is at stake, the registry's layers and
where each tensor goes, is common to all; how each framework computes them is compared on the narrow twin."""
TORCHVISION_IMAGES = 4
FROM_PTH = "resnet18"
"""Each .pth starts a process that imports torch: one is enough."""
STEPPED = [
    *((name, "adam") for name in CASES | FULL),
    *((name, "sgd") for name in ("digits-cnn", "residual", "mnist-cnn-full")),
]
"""Network and optimiser of the matched steps. An optimiser treats every tensor alike, whichever network it is of; the
other optimisers are compared in test_matched_training."""
MEAN, STD = (0.45, 0.5, 0.4), (0.25, 0.3, 0.2)
AUGMENTATION = Augmentation(flip=True, rotate=15, zoom=0.1, shift=0.1, crop=1, brightness=0.2)
PLAIN_CASES = ("smooth", "binary")
"""Without batch norm and dropout: training and inference compute the same logits."""


def settings(architecture: Architecture, recipe: Recipe, dtype: str = "float32", seed: int = 3) -> BuildSettings:
    """One thread, and a mean and deviation per channel that no framework can ignore unnoticed."""
    channels = architecture.input_shape[2]
    return BuildSettings(
        recipe, seed, MEAN[:channels], STD[:channels], "float64" if dtype == "float64" else "float32", threads=1
    )


def matched(optimizer: str = "adam", epochs: int = 1) -> Recipe:
    """The matched recipe of the suite."""
    return Recipe(mode="matched", epochs=epochs, batch_size=BATCH, optimizer=OPTIMIZERS[optimizer])


def weights(architecture: Architecture) -> Weights:
    """Float64 weights that leave nothing at its neutral value: biases, scales and batch norm statistics included."""
    return {key: _random(key, parameter.shape) for key, parameter in architecture.parameters.items()}


def images(architecture: Architecture, number: int, key: str) -> Split:
    """Random patches and labels, the same everywhere; read-only, as a memory map is.

    Patches, because convolutions average plain noise away.
    """
    draw = generator("contract", key, architecture.name)
    height, width, channels = architecture.input_shape
    patches = draw.integers(0, 236, (number, -(-height // PATCH), -(-width // PATCH), channels))
    rough = patches.repeat(PATCH, axis=1).repeat(PATCH, axis=2)[:, :height, :width]
    pixels = (rough + draw.integers(0, 20, rough.shape)).astype(np.uint8)
    labels = draw.integers(0, architecture.classes, number)
    pixels.flags.writeable = False
    return Split(pixels, labels)


def _random(key: str, shape: tuple[int, ...]) -> NDArray[np.floating]:
    draw = generator("contract", "weights", key)
    name = key.rsplit("/", 1)[-1]
    if name in ("gamma", "moving_variance"):
        return draw.uniform(0.5, 1.5, shape)
    if name == "kernel":
        return draw.normal(0.0, (1.5 / np.prod(shape[:-1])) ** 0.5, shape)
    return draw.normal(0.0, 0.1, shape)
