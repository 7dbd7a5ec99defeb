"""The networks have the shapes and parameter counts of the studies they come from."""

import pytest

from core.errors import InvalidInputError, NotFoundError
from trainer.architectures import ARCHITECTURES, get_architecture
from trainer.layers import Dropout

# Trainable and fixed parameters, worked out by hand from the layer tables.
COUNTS = {
    "mlp": (669_706, 0),
    "digits-cnn": (13_754, 96),
    "mnist-cnn": (421_642, 0),
    "cifar-cnn3": (160_202, 0),
    "cnn5": (950_401, 1_088),
}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_parameters_are_counted_as_published(name: str) -> None:
    architecture = get_architecture(name)
    assert (architecture.count(trainable=True), architecture.count(trainable=False)) == COUNTS[name]


def test_cnn5_has_the_studys_951489_parameters_and_one_logit() -> None:
    architecture = get_architecture("cnn5")
    assert sum(COUNTS["cnn5"]) == 951_489
    assert architecture.input_shape == (150, 150, 1)
    assert architecture.head == "sigmoid"
    assert architecture.nodes[-1].output_shape == (1,)


def test_more_than_two_classes_get_a_logit_each() -> None:
    architecture = get_architecture("cnn5", classes=4)
    assert architecture.head == "softmax"
    assert architecture.nodes[-1].output_shape == (4,)


def test_other_inputs_change_only_the_dense_layer_after_flatten() -> None:
    small, large = get_architecture("mnist-cnn"), get_architecture("mnist-cnn", (32, 32, 1))
    changed = {key for key, p in small.parameters.items() if large.parameters[key] != p}
    assert changed == {"dense1/kernel"}


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(NotFoundError, match="unknown architecture 'vgg'; known: mlp, digits-cnn"):
        get_architecture("vgg")


def test_images_that_are_too_small_are_refused_with_the_layer_named() -> None:
    with pytest.raises(
        InvalidInputError, match=r"cifar-cnn3: pool3 \(max pool 2×2\) does not fit its input \(1, 1, 128\)"
    ):
        get_architecture("cifar-cnn3", (18, 18, 3))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_path_is_unique_and_every_dropout_found(name: str) -> None:
    architecture = get_architecture(name)
    paths = [node.path for _, node in architecture.walk()]
    assert len(set(paths)) == len(paths)
    assert len(architecture.dropouts) == sum(isinstance(layer, Dropout) for layer in architecture.layers)
