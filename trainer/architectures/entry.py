"""What the registry knows about a network, and about a family of networks."""

from collections.abc import Callable
from dataclasses import dataclass

from core.networks import FamilyName
from trainer.layers import Head, Layer

ImageShape = tuple[int, int, int]
"""Height, width, channels."""
Layers = Callable[[ImageShape, int], tuple[Layer, ...]]
"""The layers for an input and a number of classes."""


@dataclass(frozen=True)
class Entry:
    """A network: its layers, and what it was designed for."""

    description: str
    layers: Layers
    input_shape: ImageShape
    classes: int
    head: Head = "softmax"
    binary_head: Head | None = None
    """Head used where there are two classes; None: the same."""

    def head_for(self, classes: int) -> Head:
        """What the last layer's outputs mean for a number of classes."""
        return self.binary_head if classes == 2 and self.binary_head else self.head


@dataclass(frozen=True)
class Family:
    """Networks that differ in a few numbers, which are part of the name."""

    name: FamilyName
    description: str
    build: Callable[..., Entry]
    """Called with the letters of the name as keywords."""

    def member(self, name: str) -> Entry:
        """The network of a name.

        Raises:
            NotFoundError: the name is not a member's.
        """
        return self.build(**self.name.parse(name))
