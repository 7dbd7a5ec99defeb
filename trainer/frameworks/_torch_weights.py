"""Canonical weights into and out of a torch network."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from trainer.frameworks._torch_network import Network
from trainer.layers import Architecture
from trainer.weights import Weights, check

NAMES = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
# Canonical axes as torch orders them: HWIO → OIHW, in×out → out×in.
TO_TORCH = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}
FROM_TORCH = {4: (2, 3, 1, 0), 2: (1, 0), 1: (0,)}


@dataclass(frozen=True)
class Slot:
    """Where one canonical tensor lives in a network."""

    key: str
    tensor: Tensor

    def read(self, tensor: Tensor) -> NDArray[np.floating]:
        """A copy of a tensor of this slot's shape (the weight itself or its gradient) in canonical layout."""
        array: NDArray[np.floating] = tensor.detach().cpu().numpy()
        return np.array(array.transpose(FROM_TORCH[array.ndim]), order="C")


def slots(architecture: Architecture, network: Network) -> Iterator[Slot]:
    """Every canonical tensor of a network, in network order."""
    for key in architecture.parameters:
        path, name = key.rsplit("/", 1)
        yield Slot(key, getattr(network.layers.get_submodule(path), NAMES[name]))


def load_weights(architecture: Architecture, network: Network, weights: Weights) -> None:
    """Copies canonical weights into a network. Raises InvalidInputError when they belong to another architecture."""
    check(weights, architecture)
    with torch.no_grad():
        for slot in slots(architecture, network):
            value = np.asarray(weights[slot.key])
            slot.tensor.copy_(torch.from_numpy(np.array(value.transpose(TO_TORCH[value.ndim]))))


def read_weights(architecture: Architecture, network: Network) -> Weights:
    """Copies of all weights in canonical layout, BatchNorm statistics included."""
    return {slot.key: slot.read(slot.tensor) for slot in slots(architecture, network)}


def read_gradients(architecture: Architecture, network: Network) -> Weights:
    """Copies of the gradients of the trainable weights in canonical layout."""
    return {
        slot.key: slot.read(slot.tensor.grad) for slot in slots(architecture, network) if slot.tensor.grad is not None
    }


def count_parameters(network: Network) -> tuple[int, int]:
    """All and trainable parameters as torch counts them; BatchNorm's running statistics belong to all."""
    trainable = sum(p.numel() for p in network.parameters() if p.requires_grad)
    norms = (m for m in network.modules() if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d)))
    running = sum(m.running_mean.numel() + m.running_var.numel() for m in norms)
    return sum(p.numel() for p in network.parameters()) + running, trainable
