"""What the registry knows about a network, and about a family of networks."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

from core.errors import NotFoundError
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
    """Networks that differ in a few numbers, which are part of the name: `<stem>-<letter><number>-…`."""

    stem: str
    description: str
    options: dict[str, tuple[int, ...]]
    """Letter to the numbers allowed, in the order of the name."""
    build: Callable[..., Entry]
    """Called with the letters as keywords."""

    @property
    def syntax(self) -> str:
        """The name as lists show it, for example `asl-grid-d<0|1|2>-u<32|64|128>`."""
        return "-".join([self.stem, *(f"{key}<{'|'.join(map(str, values))}>" for key, values in self.options.items())])

    def names(self) -> Iterator[str]:
        """Every member, the last number fastest."""
        for numbers in product(*self.options.values()):
            parts = (f"{key}{number}" for key, number in zip(self.options, numbers, strict=True))
            yield "-".join([self.stem, *parts])

    def member(self, name: str) -> Entry:
        """The network of a name that begins with the stem.

        Raises:
            NotFoundError: the name does not follow the syntax, or a number is not among those allowed.
        """
        numbers = self._parse(name)
        wrong = [f"{k}{n}" for k, n in numbers.items() if n not in self.options[k]]
        if not numbers or wrong:
            problem = f"{', '.join(wrong)} not allowed" if wrong else "not a member of the family"
            raise NotFoundError(
                f"unknown architecture {name!r}: {problem}; expected {self.syntax}, for example {next(self.names())}"
            )
        return self.build(**numbers)

    def _parse(self, name: str) -> dict[str, int]:
        pattern = "-".join([re.escape(self.stem), *(rf"{key}(?P<{key}>0|[1-9]\d*)" for key in self.options)])
        match = re.fullmatch(pattern, name)
        found: dict[str, Any] = match.groupdict() if match else {}
        return {key: int(number) for key, number in found.items()}
