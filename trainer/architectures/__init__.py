"""The networks, each written once. A name used in experiment files selects one."""

from dataclasses import replace

from core.errors import InvalidInputError
from core.networks import ENDINGS, NO_DROPOUT, parse_network
from trainer.architectures import asl, imagenet, studies
from trainer.architectures.asl import CLASSES, SHAPE
from trainer.architectures.entry import Entry, Family, ImageShape
from trainer.layers import Activation, Architecture, Dropout, Layer, Pool, Residual

ARCHITECTURES: dict[str, Entry] = {
    "mlp": Entry("Dense network without convolution (study S2).", studies.mlp, (28, 28, 1), 10),
    "digits-cnn": Entry("Two small convolutions with batch norm, for the demo.", studies.digits_cnn, (8, 8, 1), 10),
    "mnist-cnn": Entry("Two convolutions and a dense layer (study S2).", studies.mnist_cnn, (28, 28, 1), 10),
    "cifar-cnn3": Entry("Three convolutions with max pooling (study S5).", studies.cifar_cnn3, (32, 32, 3), 10),
    "cnn5": Entry(
        "Five convolutions with batch norm and dropout (study S3).",
        studies.cnn5,
        (150, 150, 1),
        2,
        binary_head="sigmoid",
    ),
    "cats-dogs-cnn": Entry(
        "Four convolutions with max pooling and dropout (study S4).",
        studies.cats_dogs_cnn,
        (150, 150, 3),
        2,
        binary_head="sigmoid",
    ),
    "asl-cnn": Entry("S1's Keras net with its 29-way sigmoid head.", asl.asl_cnn, SHAPE, CLASSES, "normalized_sigmoid"),
    "asl-cnn-softmax": Entry("The same net with a softmax head.", asl.asl_cnn, SHAPE, CLASSES),
    "asl-strided": Entry("S1's fastai net: strided convolutions with batch norm.", asl.strided, SHAPE, CLASSES),
    "asl-resblock": Entry("The same with residual blocks.", asl.resblock, SHAPE, CLASSES),
    "resnet18": Entry("ResNet-18, torchvision's layout.", imagenet.resnet18, (224, 224, 3), 1000),
    "resnet34": Entry("ResNet-34, torchvision's layout.", imagenet.resnet34, (224, 224, 3), 1000),
    "vgg11": Entry("VGG-11 without batch norm, torchvision's layout.", imagenet.vgg11, (224, 224, 3), 1000),
}
VARIED = {
    f"<name>{ENDINGS}": "A network with tanh or sigmoid for ReLU, average pools for max pools, or without its dropout."
}
FAMILIES: tuple[Family, ...] = (asl.GRID,)


def get_architecture(name: str, input_shape: ImageShape | None = None, classes: int | None = None) -> Architecture:
    """Builds a network for an input and a number of classes, by default those it was designed for.

    Raises:
        NotFoundError: unknown name, the known ones listed.
        InvalidInputError: the network does not fit the input, or has none of what its name replaces.
    """
    parsed = parse_network(name)
    entry = _entry(parsed.network)
    shape, number = input_shape or entry.input_shape, classes or entry.classes
    layers, description = entry.layers(shape, number), entry.description
    if parsed.activation:
        layers = _replaced(layers, Activation, "relu", parsed.activation, name)
        description += f" {parsed.activation} in place of ReLU."
    if parsed.average:
        layers = _replaced(layers, Pool, "max", "average", name)
        description += " Average pools in place of max pools."
    if not parsed.dropout:
        layers = _without_dropout(layers, name)
        description += " Without its dropout."
    return Architecture(name, description, shape, number, layers, entry.head_for(number))


def listing() -> dict[str, str]:
    """Name, or name syntax of a family, to one sentence; last what names may end in."""
    families = {family.name.syntax: family.description for family in FAMILIES}
    return {name: entry.description for name, entry in ARCHITECTURES.items()} | families | VARIED


def _replaced(
    layers: tuple[Layer, ...], kind_of: type[Activation] | type[Pool], old: str, new: str, name: str
) -> tuple[Layer, ...]:
    """The layers with `new` wherever one of the class has the kind `old`, in residual blocks too."""

    def swap(layer: Layer) -> Layer:
        if isinstance(layer, Residual):
            return Residual(tuple(map(swap, layer.body)), tuple(map(swap, layer.shortcut)))
        if isinstance(layer, kind_of) and layer.kind == old:
            return replace(layer, kind=new)  # type: ignore[arg-type]
        return layer

    swapped = tuple(map(swap, layers))
    if swapped == layers:
        what = f"{old} {kind_of.__name__.lower()}"
        raise InvalidInputError(f"{name} has no {what} that {new} could replace; leave -{new} out")
    return swapped


def _without_dropout(layers: tuple[Layer, ...], name: str) -> tuple[Layer, ...]:
    """The layers but for every dropout. No residual block here has any."""
    kept = tuple(layer for layer in layers if not isinstance(layer, Dropout))
    if kept == layers:
        raise InvalidInputError(f"{name} has no dropout; leave -{NO_DROPOUT} out")
    return kept


def _entry(name: str) -> Entry:
    if name in ARCHITECTURES:
        return ARCHITECTURES[name]
    return next(family for family in FAMILIES if family.name.claims(name)).member(name)
