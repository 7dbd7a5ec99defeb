"""The graph of a network, from the table that the trainer service gives."""

import pytest

from services.orchestrator.tracking.graph import wired
from services.orchestrator.tracking.sink import Layer
from trainer.architectures import get_architecture
from trainer.layers import Architecture, BatchNorm, Conv, Dense, Flatten, Residual, describe
from trainer.layers import Layer as AnyLayer


def table(network: Architecture) -> list[Layer]:
    return [Layer(node.path, describe(node.layer), node.output_shape) for _, node in network.walk()]


def edges(network: Architecture) -> dict[str, tuple[str, ...]]:
    return {node.name.rsplit("_", 1)[0]: tuple(name.rsplit("_", 1)[0] for name in node.inputs)
            for node in wired(table(network))}  # fmt: skip


def small(*layers: AnyLayer) -> Architecture:
    return Architecture("small", "For a test.", (8, 8, 4), 3, (*layers, Flatten(), Dense(3)))


def test_layers_in_a_row_are_a_chain_from_the_image() -> None:
    assert list(edges(small(Conv(4), BatchNorm())).values()) == [("image",), ("conv1",), ("batchnorm1",), ("flatten1",)]


def test_a_residual_block_adds_its_body_and_its_own_input() -> None:
    found = edges(small(Conv(4, padding=1), Residual((Conv(4, padding=1), BatchNorm()))))
    assert found["residual1.body.conv1"] == ("conv1",)
    assert found["residual1.body.batchnorm1"] == ("residual1.body.conv1",)
    assert found["residual1"] == ("residual1.body.batchnorm1", "conv1")
    assert found["flatten1"] == ("residual1",)


def test_a_shortcut_of_layers_starts_where_the_body_does() -> None:
    found = edges(small(Residual((Conv(8, stride=2, padding=1),), (Conv(8, kernel=1, stride=2), BatchNorm()))))
    assert found["residual1.body.conv1"] == found["residual1.shortcut.conv1"] == ("image",)
    assert found["residual1"] == ("residual1.body.conv1", "residual1.shortcut.batchnorm1")


@pytest.mark.parametrize("name", ["resnet18", "cifar-cnn3", "asl-resblock"])
def test_every_layer_is_there_once_after_what_it_takes(name: str) -> None:
    network = get_architecture(name, (64, 64, 3), 10)
    nodes = wired(table(network))
    assert len({node.name for node in nodes}) == len(nodes) == len(list(network.walk()))
    known = {"image"}
    for node in nodes:
        assert known.issuperset(node.inputs)
        known.add(node.name)
    blocks = sum(isinstance(node.layer, Residual) for _, node in network.walk())
    assert sum(len(node.inputs) == 2 for node in nodes) == blocks
    taken = {name for node in nodes for name in node.inputs}
    assert known - taken == {nodes[-1].name}, "only the last layer's output is nobody's input"
