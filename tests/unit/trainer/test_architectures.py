"""The networks have the shapes and parameter counts of the studies they come from."""

from pathlib import Path

import pytest

from core.errors import InvalidInputError, NotFoundError
from core.networks import ASL_GRID, FAMILY_NAMES, NETWORKS
from trainer.architectures import ARCHITECTURES, FAMILIES, get_architecture, listing
from trainer.architectures.table import markdown
from trainer.layers import Activation, Conv, Dense, Dropout, Pool, Residual

PAGE = Path(__file__).parents[3] / "docs/architectures.md"
# Trainable and fixed parameters: published where there is a source, otherwise worked out by hand from the layer tables.
COUNTS = {
    "mlp": (669_706, 0),
    "digits-cnn": (13_754, 96),
    "mnist-cnn": (421_642, 0),
    "cifar-cnn3": (160_202, 0),
    "cnn5": (950_401, 1_088),
    "cats-dogs-cnn": (3_453_121, 0),
    # 1,792 + 73,856 + 14·14·128·64 + 64 + 64·29 + 29
    "asl-cnn": (1_683_229, 0),
    "asl-cnn-softmax": (1_683_229, 0),
    # Kernels 9·(3·8 + 8·16 + 16·32 + 32·64 + 64·128), two per filter of 248, 512·29 + 29
    "asl-strided": (98_136 + 496 + 14_877, 496),
    # and 2·9·(8² + 16² + 32² + 64² + 128²) more kernels with norms
    "asl-resblock": (113_509 + 18 * 21_824 + 2 * 496, 3 * 496),
    "resnet18": (11_689_512, 9_600),
    "resnet34": (21_797_672, 17_024),
    "vgg11": (132_863_336, 0),
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
    with pytest.raises(NotFoundError, match=r"unknown architecture 'vgg'; known: mlp, digits-cnn.*asl-grid-d<0"):
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
    assert len(architecture.dropouts) == sum(isinstance(node.layer, Dropout) for _, node in architecture.walk())


def test_the_asl_net_ends_in_sigmoids_and_its_twin_differs_in_that_alone() -> None:
    net, twin = get_architecture("asl-cnn"), get_architecture("asl-cnn-softmax")
    assert (net.head, twin.head) == ("normalized_sigmoid", "softmax")
    assert net.layers == twin.layers


def test_the_grid_has_27_members_that_all_build_for_the_studys_images() -> None:
    names = list(ASL_GRID.names())
    assert len(set(names)) == 27
    assert {get_architecture(name).input_shape for name in names} == {(64, 64, 3)}
    assert {get_architecture(name).head for name in names} == {"normalized_sigmoid"}


def test_a_grid_name_says_what_the_network_is() -> None:
    net = get_architecture("asl-grid-d2-u32-c3", classes=5)
    assert [layer.filters for layer in net.layers if isinstance(layer, Conv)] == [32, 32, 32]
    assert [layer.units for layer in net.layers if isinstance(layer, Dense)] == [32, 32, 5]
    assert net.name == "asl-grid-d2-u32-c3"


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("asl-grid", "not a member"),
        ("asl-grid-d1-u64", "not a member"),
        ("asl-grid-u64-d1-c2", "not a member"),
        ("asl-grid-d01-u64-c2", "not a member"),
        ("asl-grid-d1-u64-c2-x", "not a member"),
        ("asl-grid-d3-u64-c4", "d3, c4 not allowed"),
    ],
)
def test_a_name_that_is_no_member_is_answered_with_the_syntax_and_an_example(name: str, problem: str) -> None:
    with pytest.raises(NotFoundError, match=problem) as raised:
        get_architecture(name)
    assert "expected asl-grid-d<0|1|2>-u<32|64|128>-c<1|2|3>, for example asl-grid-d0-u32-c1" in str(raised.value)


def test_core_names_exactly_the_networks_there_are() -> None:
    assert tuple(ARCHITECTURES) == NETWORKS
    assert tuple(family.name for family in FAMILIES) == FAMILY_NAMES


def test_the_listing_has_every_network_and_one_line_per_family() -> None:
    assert list(listing()) == [
        *ARCHITECTURES,
        "asl-grid-d<0|1|2>-u<32|64|128>-c<1|2|3>",
        "<name>[-<tanh|sigmoid>][-average][-nodropout]",
    ]


@pytest.mark.parametrize("base", ["asl-cnn", "resnet18", "asl-grid-d1-u32-c2"])
@pytest.mark.parametrize(
    ("ending", "activation", "pool"),
    [("-tanh", "tanh", "max"), ("-sigmoid-average", "sigmoid", "average"), ("-average", "relu", "average")],
)
def test_a_name_may_end_in_another_activation_and_another_pool(base, ending, activation, pool) -> None:
    plain, varied = get_architecture(base), get_architecture(base + ending)
    layers = [node.layer for _, node in varied.walk()]
    assert {layer.kind for layer in layers if isinstance(layer, Activation)} == {activation}
    assert {layer.kind for layer in layers if isinstance(layer, Pool)} == {pool}
    assert varied.name == base + ending
    assert varied.parameters == plain.parameters
    assert varied.input_shape == plain.input_shape


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("mlp-average", "mlp-average has no max pool that average could replace; leave -average out"),
        ("asl-strided-tanh-average", "has no max pool"),
        ("resnet18-nodropout", "resnet18-nodropout has no dropout; leave -nodropout out"),
    ],
)
def test_what_a_network_does_not_have_cannot_be_replaced(name, problem) -> None:
    with pytest.raises(InvalidInputError, match=problem):
        get_architecture(name)


@pytest.mark.parametrize(
    "name",
    [
        "asl-cnn-average-tanh",
        "asl-cnn-relu",
        "asl-cnn-tanh-tanh",
        "mlp-nodropout-tanh",
        "tanh",
        "-average",
        "asl-cnn-None",
    ],
)
def test_other_endings_or_another_order_are_no_network(name) -> None:
    with pytest.raises(NotFoundError, match=r"each also with \[-<tanh\|sigmoid>\]\[-average\]\[-nodropout\]"):
        get_architecture(name)


@pytest.mark.parametrize(("base", "ending"), [("cats-dogs-cnn", ""), ("cnn5", "-tanh-average"), ("vgg11", "")])
def test_a_network_may_leave_its_dropout_out_and_keeps_everything_else(base: str, ending: str) -> None:
    whole, without = get_architecture(base + ending), get_architecture(f"{base}{ending}-nodropout")
    kept = [node.layer for node in whole.nodes if not isinstance(node.layer, Dropout)]
    assert [node.layer for node in without.nodes] == kept
    assert whole.dropouts
    assert not without.dropouts
    assert without.parameters == whole.parameters


@pytest.mark.parametrize(("name", "blocks"), [("resnet18", (2, 2, 2, 2)), ("resnet34", (3, 4, 6, 3))])
def test_resnets_halve_the_image_at_the_first_block_of_each_later_stage(name: str, blocks: tuple[int, ...]) -> None:
    net = get_architecture(name)
    residual = [node for node in net.nodes if isinstance(node.layer, Residual)]
    assert len(residual) == sum(blocks)
    projected = [index for index, node in enumerate(residual) if node.shortcut]
    assert projected == [sum(blocks[:stage]) for stage in (1, 2, 3)]
    assert [node.output_shape for node in residual if node.shortcut] == [(28, 28, 128), (14, 14, 256), (7, 7, 512)]


@pytest.mark.parametrize(
    ("size", "first_dense", "averages"),
    [
        ((224, 224), 25_088, 0),
        ((448, 448), 25_088, 1),
        ((32, 32), 512, 0),
        ((256, 256), 8 * 8 * 512, 0),
        ((224, 448), 7 * 14 * 512, 0),
    ],
)
def test_vgg_averages_to_7x7_only_what_is_a_multiple_of_it(
    size: tuple[int, int], first_dense: int, averages: int
) -> None:
    net = get_architecture("vgg11", (*size, 3), 10)
    assert net.parameters["dense1/kernel"].shape == (first_dense, 4096)
    assert sum(isinstance(layer, Pool) and layer.kind == "average" for layer in net.layers) == averages


def test_the_page_of_networks_is_what_the_code_says() -> None:
    assert PAGE.read_text() == markdown(), "docs/architectures.md is out of date: run make docs"
