"""A network's layer table as a graph: which layer takes what from which."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.orchestrator.tracking.sink import Layer

INPUT = "image"
SIDES = ("body", "shortcut")
Numbered = tuple[int, Layer]


@dataclass(frozen=True)
class Node:
    """A layer with its name in the graph, unique, and the names of what it takes."""

    name: str
    layer: Layer
    inputs: tuple[str, ...]


def wired(layers: Sequence[Layer]) -> list[Node]:
    """The layers in the order they compute.

    The table has a residual block before what is inside it, whose paths begin with the block's: `residual1`,
    `residual1.body.conv1`, `residual1.shortcut.conv1`. The block adds its body and its shortcut, which without layers
    is the block's own input.
    """
    return _chain(list(enumerate(layers)), INPUT)


def _chain(layers: list[Numbered], source: str) -> list[Node]:
    """Layers one after the other, the first of which takes `source`."""
    found: list[Node] = []
    while layers:
        (number, layer), *rest = layers
        inner = [one for one in rest if _inside(one[1], layer.path)]
        layers = rest[len(inner) :]
        inputs: tuple[str, ...] = (source,)
        if inner:
            parts = ([one for one in inner if _inside(one[1], f"{layer.path}.{side}")] for side in SIDES)
            sides = [_chain(part, source) for part in parts]
            found += [node for side in sides for node in side]
            inputs = tuple(side[-1].name if side else source for side in sides)
        source = f"{layer.path or 'layer'}_{number}"
        found.append(Node(source, layer, inputs))
    return found


def _inside(layer: Layer, path: str) -> bool:
    return bool(path) and layer.path.startswith(f"{path}.")
