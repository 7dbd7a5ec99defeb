"""The names of the networks, so that an experiment file is checked where no trainer is installed.

The networks themselves are the trainer's (`trainer/architectures`); a test holds both lists together.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Literal, get_args

from core.errors import NotFoundError


@dataclass(frozen=True)
class FamilyName:
    """Names of networks that differ in a few numbers: `<stem>-<letter><number>-…`."""

    stem: str
    options: dict[str, tuple[int, ...]]
    """Letter to the numbers allowed, in the order of the name."""

    @property
    def syntax(self) -> str:
        """The name as lists show it, for example `asl-grid-d<0|1|2>-u<32|64|128>`."""
        return "-".join([self.stem, *(f"{key}<{'|'.join(map(str, values))}>" for key, values in self.options.items())])

    def names(self) -> Iterator[str]:
        """Every member, the last number fastest."""
        for numbers in product(*self.options.values()):
            parts = (f"{key}{number}" for key, number in zip(self.options, numbers, strict=True))
            yield "-".join([self.stem, *parts])

    def claims(self, name: str) -> bool:
        """Whether a name begins with the stem, rightly or wrongly completed."""
        return name == self.stem or name.startswith(f"{self.stem}-")

    def parse(self, name: str) -> dict[str, int]:
        """The numbers in a member's name.

        Raises:
            NotFoundError: the name does not follow the syntax, or a number is not among those allowed.
        """
        pattern = "-".join([re.escape(self.stem), *(rf"{key}(?P<{key}>0|[1-9]\d*)" for key in self.options)])
        match = re.fullmatch(pattern, name)
        numbers = {key: int(number) for key, number in match.groupdict().items()} if match else {}
        wrong = [f"{key}{number}" for key, number in numbers.items() if number not in self.options[key]]
        if not numbers or wrong:
            problem = f"{', '.join(wrong)} not allowed" if wrong else "not a member of the family"
            raise NotFoundError(
                f"unknown architecture {name!r}: {problem}; expected {self.syntax}, for example {next(self.names())}"
            )
        return numbers


NETWORKS = (
    *("mlp", "digits-cnn", "mnist-cnn", "cifar-cnn3", "cnn5", "cats-dogs-cnn"),
    *("asl-cnn", "asl-cnn-softmax", "asl-strided", "asl-resblock"),
    *("resnet18", "resnet34", "vgg11"),
)
ASL_GRID = FamilyName("asl-grid", {"d": (0, 1, 2), "u": (32, 64, 128), "c": (1, 2, 3)})
"""Study S1's grid of 27: d dense layers, u units or filters in each layer, c convolutions."""
FAMILY_NAMES = (ASL_GRID,)


ActivationName = Literal["tanh", "sigmoid"]
"""What may be in place of ReLU in a network."""
ACTIVATIONS: tuple[ActivationName, ...] = get_args(ActivationName)
AVERAGE = "average"
"""What may be in place of max in the pools of a network."""
NO_DROPOUT = "nodropout"
"""What may be left out of a network."""
ENDINGS = f"[-<{'|'.join(ACTIVATIONS)}>][-{AVERAGE}][-{NO_DROPOUT}]"
"""How names of networks go on that have something else than ReLU and max pools, or no dropout."""


@dataclass(frozen=True)
class NetworkName:
    """A name in its parts, for example `mnist-cnn-tanh-average`."""

    network: str
    """One of NETWORKS, or a member of a family."""
    activation: ActivationName | None = None
    """In place of ReLU."""
    average: bool = False
    """Whether pools take the mean in place of the maximum."""
    dropout: bool = True
    """Whether the network's dropout is kept."""


def parse_network(name: str) -> NetworkName:
    """Takes a name apart.

    Raises:
        NotFoundError: unknown, with the known names, or the syntax of the family it begins like.
    """
    dropped = name.removesuffix(f"-{NO_DROPOUT}")
    rest = dropped.removesuffix(f"-{AVERAGE}")
    activation = next((one for one in ACTIVATIONS if rest.endswith(f"-{one}")), None)
    network = rest.removesuffix(f"-{activation}") if activation else rest
    if network not in NETWORKS:
        family = next((one for one in FAMILY_NAMES if one.claims(network)), None)
        if family is None:
            known = ", ".join((*NETWORKS, *(one.syntax for one in FAMILY_NAMES)))
            raise NotFoundError(f"unknown architecture {name!r}; known: {known}, each also with {ENDINGS}")
        family.parse(network)
    return NetworkName(network, activation, average=rest != dropped, dropout=dropped == name)


def check_network(name: str) -> str:
    """Gives the name back if a network has it. Raises NotFoundError as parse_network does."""
    parse_network(name)
    return name
