"""Which layers of a torch network learn."""

from collections.abc import Iterable

from trainer.frameworks._torch_network import Network
from trainer.frameworks._torch_weights import slots
from trainer.layers import Architecture
from trainer.phases import Phase


def freeze(architecture: Architecture, network: Network, phase: Phase) -> None:
    """Gradients for the layers that learn in a phase, and for no others."""
    for slot in slots(architecture, network):
        if architecture.parameters[slot.key].trainable:
            slot.tensor.requires_grad_(phase.trains(slot.key))


def set_training(network: Network, fixed: Iterable[str]) -> None:
    """Training mode, but for the batch norms at these paths: they compute with their running statistics."""
    network.train()
    for path in fixed:
        network.layers.get_submodule(path).eval()
