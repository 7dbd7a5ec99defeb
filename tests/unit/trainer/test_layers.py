"""Shapes and parameters follow from the layers alone."""

import pytest

from core.errors import InvalidInputError
from trainer.layers import (
    Activation,
    Architecture,
    BatchNorm,
    Conv,
    Dense,
    Dropout,
    Flatten,
    GlobalPool,
    Layer,
    Parameter,
    Pool,
    Residual,
    describe,
    place,
)


@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [
        (Conv(5), (8, 7, 3), (6, 5, 5)),
        (Conv(5, padding=1), (8, 7, 3), (8, 7, 5)),
        (Conv(5, kernel=7, stride=2, padding=3), (224, 225, 3), (112, 113, 5)),
        (Conv(5, kernel=1), (1, 1, 3), (1, 1, 5)),
        (Pool(), (9, 8, 3), (4, 4, 3)),
        (Pool(size=3, stride=2, padding=1), (9, 8, 3), (5, 4, 3)),
        (GlobalPool(), (9, 8, 3), (3,)),
        (Flatten(), (9, 8, 3), (216,)),
        (Dense(4), (216,), (4,)),
        (BatchNorm(), (9, 8, 3), (9, 8, 3)),
        (Activation("tanh"), (9,), (9,)),
        (Dropout(0.5), (9, 8, 3), (9, 8, 3)),
    ],
)
def test_output_shapes(layer: Layer, shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    assert place((layer,), shape, "net")[0].output_shape == expected


def test_parameters_have_the_canonical_layout() -> None:
    conv, norm, _, dense = place((Conv(5), BatchNorm(), Flatten(), Dense(4, bias=False)), (8, 7, 3), "net")
    assert conv.parameters == {"kernel": Parameter((3, 3, 3, 5)), "bias": Parameter((5,))}
    assert norm.parameters["gamma"] == Parameter((5,))
    assert norm.parameters["moving_variance"] == Parameter((5,), trainable=False)
    assert dense.parameters == {"kernel": Parameter((150, 4))}


def test_paths_number_each_kind_by_itself_inside_blocks_too() -> None:
    block = Residual((Conv(3, padding=1), Activation(), Conv(3, padding=1)))
    net = Architecture("net", "", (8, 8, 3), 2, (Conv(3), block, block, Flatten(), Dense(2)))
    assert [(depth, node.path) for depth, node in net.walk()] == [
        (0, "conv1"),
        (0, "residual1"), (1, "residual1.body.conv1"), (1, "residual1.body.relu1"), (1, "residual1.body.conv2"),
        (0, "residual2"), (1, "residual2.body.conv1"), (1, "residual2.body.relu1"), (1, "residual2.body.conv2"),
        (0, "flatten1"), (0, "dense1"),
    ]  # fmt: skip
    assert "residual2.body.conv2/kernel" in net.parameters


def test_a_block_that_changes_the_shape_needs_a_projection() -> None:
    body = (Conv(5, stride=2, padding=1),)
    with pytest.raises(
        InvalidInputError, match=r"residual1 adds \(4, 4, 5\) and \(8, 8, 3\); give the shortcut a projection"
    ):
        place((Residual(body),), (8, 8, 3), "net")
    projected = place((Residual(body, (Conv(5, kernel=1, stride=2),)),), (8, 8, 3), "net")
    assert projected[0].output_shape == (4, 4, 5)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ((Flatten(), Conv(3)), "conv1 needs an image, got a vector of 192"),
        ((Flatten(), Pool()), "pool1 needs an image"),
        ((Dense(3),), r"dense1 needs a vector, got \(8, 8, 3\); flatten first"),
        ((Conv(3, kernel=9),), r"conv1 \(conv 3 9×9\) does not fit its input \(8, 8, 3\)"),
    ],
)
def test_a_layer_that_does_not_fit_is_named(layers: tuple[Layer, ...], message: str) -> None:
    with pytest.raises(InvalidInputError, match=f"net: {message}"):
        place(layers, (8, 8, 3), "net")


@pytest.mark.parametrize(
    ("layers", "classes", "head"),
    [
        ((Flatten(), Dense(3)), 2, "softmax"),
        ((Flatten(), Dense(2)), 2, "sigmoid"),
        ((), 2, "softmax"),
        ((Flatten(), Dense(1)), 3, "sigmoid"),
    ],
)
def test_a_head_needs_its_number_of_outputs(layers: tuple[Layer, ...], classes: int, head: str) -> None:
    with pytest.raises(InvalidInputError, match="head"):
        Architecture("net", "", (8, 8, 3), classes, layers, head)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (Conv(32, padding=1), "conv 32 3×3 pad 1"),
        (Conv(32, kernel=1, stride=2, bias=False), "conv 32 1×1 stride 2 no bias"),
        (Pool("average", 3, 2), "average pool 3×3 stride 2"),
        (Pool(), "max pool 2×2"),
        (Dropout(0.25), "dropout 0.25"),
        (Dense(10), "dense 10"),
        (Residual(()), "residual"),
    ],
)
def test_layers_are_described_in_words(layer: Layer, text: str) -> None:
    assert describe(layer) == text


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (Pool("average", size=2, padding=2), "padding is at most half the window of 2"),
        (Pool("max", size=3, stride=2, padding=2), "padding is at most half the window of 3"),
        (Pool(size=0), "size and stride are at least 1"),
        (Pool(stride=0), "size and stride are at least 1"),
        (Conv(0), "filters, kernel and stride are at least 1"),
        (Conv(3, stride=0), "filters, kernel and stride are at least 1"),
        (Conv(3, padding=-1), "padding at least 0"),
        (Dropout(1.0), "rate is at least 0 and less than 1"),
        (Dropout(-0.1), "rate is at least 0 and less than 1"),
    ],
)
def test_a_layer_that_is_not_defined_is_refused(layer: Layer, message: str) -> None:
    with pytest.raises(InvalidInputError, match=rf"net: \w+1 \(.*\) is not defined: .*{message}"):
        place((layer,), (8, 8, 3), "net")


def test_a_dense_layer_has_units() -> None:
    with pytest.raises(InvalidInputError, match="units are at least 1"):
        place((Dense(0),), (8,), "net")


def test_norms_of_one_value_per_image_are_found_wherever_they_are() -> None:
    inside = Residual((Conv(4, kernel=1), BatchNorm()), (Conv(4, kernel=1),))
    layers = (Conv(3, padding=1), BatchNorm(), Conv(3, kernel=8), inside, Flatten(), BatchNorm(), Dense(2))
    net = Architecture("net", "", (8, 8, 3), 2, layers)
    assert [node.path for node in net.single_norms] == ["residual1.body.batchnorm1", "batchnorm2"]
