"""A network as data: layers, and what follows from them for an input shape (output shapes, parameters, paths).

Shapes are height, width, channels without the batch dimension; a vector has one number.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod
from typing import Literal

from core.errors import InvalidInputError

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Conv:
    """Square convolution; `padding` pixels of zeros on every side (same for stride 1 is (kernel − 1) / 2)."""

    filters: int
    kernel: int = 3
    stride: int = 1
    padding: int = 0
    bias: bool = True


@dataclass(frozen=True)
class BatchNorm:
    """Per channel; momentum and ε come from the recipe."""


@dataclass(frozen=True)
class Activation:
    """Element-wise."""

    kind: Literal["relu", "tanh", "sigmoid"] = "relu"


@dataclass(frozen=True)
class Pool:
    """Square pooling; windows that do not fit are dropped (valid). Padding counts as −∞ for max, as 0 for average."""

    kind: Literal["max", "average"] = "max"
    size: int = 2
    stride: int = 2
    padding: int = 0


@dataclass(frozen=True)
class Dropout:
    """Zeroes a share `rate` of the values in training and scales the rest by 1 / (1 − rate)."""

    rate: float


@dataclass(frozen=True)
class Flatten:
    """To a vector in height, width, channel order, whatever the framework's own layout is."""


@dataclass(frozen=True)
class Dense:
    """Fully connected."""

    units: int
    bias: bool = True


@dataclass(frozen=True)
class GlobalPool:
    """Mean over height and width."""


@dataclass(frozen=True)
class Residual:
    """body(x) + shortcut(x); an empty shortcut is the identity."""

    body: "tuple[Layer, ...]"
    shortcut: "tuple[Layer, ...]" = ()


Layer = Conv | BatchNorm | Activation | Pool | Dropout | Flatten | Dense | GlobalPool | Residual
Head = Literal["softmax", "sigmoid", "normalized_sigmoid"]


@dataclass(frozen=True)
class Parameter:
    """One tensor of canonical weights: kernels HWIO, dense in×out, vectors for everything else."""

    shape: Shape
    trainable: bool = True

    @property
    def size(self) -> int:
        """Number of values."""
        return prod(self.shape)


@dataclass(frozen=True)
class Node:
    """A layer at its place in a network."""

    layer: Layer
    path: str
    """Unique; `<path>/<parameter>` keys the canonical weights."""
    input_shape: Shape
    output_shape: Shape
    parameters: dict[str, Parameter] = field(default_factory=dict)
    body: "tuple[Node, ...]" = ()
    shortcut: "tuple[Node, ...]" = ()


@dataclass(frozen=True)
class Architecture:
    """A network for one input shape and number of classes, every shape computed.

    `head` says what the last layer's outputs (logits z) mean. softmax: one logit per class. sigmoid: two classes, one
    logit, exported as [σ(−z), σ(z)]. normalized_sigmoid: σᵢ / Σσ.
    """

    name: str
    description: str
    input_shape: tuple[int, int, int]
    classes: int
    layers: tuple[Layer, ...]
    head: Head = "softmax"
    nodes: tuple[Node, ...] = field(init=False)

    def __post_init__(self) -> None:
        nodes = place(self.layers, self.input_shape, self.name)
        logits = 1 if self.head == "sigmoid" else self.classes
        if not nodes or nodes[-1].output_shape != (logits,):
            got = nodes[-1].output_shape if nodes else self.input_shape
            raise InvalidInputError(
                f"{self.name}: a {self.head} head for {self.classes} classes needs {logits} outputs, got {got}"
            )
        if self.head == "sigmoid" and self.classes != 2:
            raise InvalidInputError(f"{self.name}: a sigmoid head has two classes, not {self.classes}")
        object.__setattr__(self, "nodes", nodes)

    def walk(self) -> Iterator[tuple[int, Node]]:
        """Every node with its depth, residual blocks before their inner nodes."""
        yield from _walk(self.nodes, 0)

    @property
    def parameters(self) -> dict[str, Parameter]:
        """Canonical weight key to its shape, in network order."""
        return {f"{n.path}/{key}": p for _, n in self.walk() for key, p in n.parameters.items()}

    @property
    def dropouts(self) -> tuple[Node, ...]:
        """The dropout nodes, in network order."""
        return tuple(node for _, node in self.walk() if isinstance(node.layer, Dropout))

    @property
    def single_norms(self) -> tuple[Node, ...]:
        """Batch norms that see one value per image and channel: of a batch of one image the variance is undefined."""
        norms = (node for _, node in self.walk() if isinstance(node.layer, BatchNorm))
        return tuple(node for node in norms if prod(node.input_shape[:-1]) == 1)

    def count(self, trainable: bool) -> int:
        """Number of trainable, or of not trainable, parameters."""
        return sum(p.size for p in self.parameters.values() if p.trainable is trainable)


def place(layers: tuple[Layer, ...], shape: Shape, where: str, prefix: str = "") -> tuple[Node, ...]:
    """Computes path, shapes and parameters of every layer in turn.

    Raises:
        InvalidInputError: a layer does not fit its input, naming layer and shape.
    """
    seen: Counter[str] = Counter()
    nodes = []
    for layer in layers:
        kind = _kind(layer)
        seen[kind] += 1
        path = f"{prefix}{kind}{seen[kind]}"
        if wrong := _undefined(layer):
            raise InvalidInputError(f"{where}: {path} ({describe(layer)}) is not defined: {wrong}")
        node = _place_one(layer, path, shape, where)
        if any(size < 1 for size in node.output_shape):
            raise InvalidInputError(
                f"{where}: {path} ({describe(layer)}) does not fit its input {shape}; use larger images"
            )
        nodes.append(node)
        shape = node.output_shape
    return tuple(nodes)


def describe(layer: Layer) -> str:
    """One layer in words, as the layer table shows it."""
    match layer:
        case Conv(filters, kernel, stride, padding, bias):
            extra = f" stride {stride}" * (stride != 1) + f" pad {padding}" * (padding != 0) + " no bias" * (not bias)
            return f"conv {filters} {kernel}×{kernel}{extra}"
        case BatchNorm():
            return "batch norm"
        case Activation(kind):
            return kind
        case Pool(kind, size, stride, padding):
            extra = f" stride {stride}" * (stride != size) + f" pad {padding}" * (padding != 0)
            return f"{kind} pool {size}×{size}{extra}"
        case Dropout(rate):
            return f"dropout {rate:g}"
        case Flatten():
            return "flatten"
        case Dense(units, bias):
            return f"dense {units}" + " no bias" * (not bias)
        case GlobalPool():
            return "global average pool"
        case Residual(_, shortcut):
            return "residual, projection" if shortcut else "residual"


def _kind(layer: Layer) -> str:
    return layer.kind if isinstance(layer, Activation) else type(layer).__name__.lower()


def _place_one(layer: Layer, path: str, shape: Shape, where: str) -> Node:
    match layer:
        case Conv() | Pool() | GlobalPool() if len(shape) != 3:
            raise InvalidInputError(f"{where}: {path} needs an image, got a vector of {shape[0]}")
        case Dense() if len(shape) != 1:
            raise InvalidInputError(f"{where}: {path} needs a vector, got {shape}; flatten first")
        case Conv(filters, kernel, stride, padding, bias):
            parameters = {"kernel": Parameter((kernel, kernel, shape[2], filters))}
            if bias:
                parameters["bias"] = Parameter((filters,))
            return Node(layer, path, shape, (*_slide(shape, kernel, stride, padding), filters), parameters)
        case BatchNorm():
            vector, fixed = Parameter(shape[-1:]), Parameter(shape[-1:], trainable=False)
            named = {"gamma": vector, "beta": vector, "moving_mean": fixed, "moving_variance": fixed}
            return Node(layer, path, shape, shape, named)
        case Pool(_, size, stride, padding):
            return Node(layer, path, shape, (*_slide(shape, size, stride, padding), shape[2]))
        case Flatten():
            return Node(layer, path, shape, (prod(shape),))
        case Dense(units, bias):
            parameters = {"kernel": Parameter((shape[0], units))}
            if bias:
                parameters["bias"] = Parameter((units,))
            return Node(layer, path, shape, (units,), parameters)
        case GlobalPool():
            return Node(layer, path, shape, (shape[2],))
        case Residual(body, shortcut):
            inner = place(body, shape, where, f"{path}.body.")
            side = place(shortcut, shape, where, f"{path}.shortcut.")
            sizes = [nodes[-1].output_shape if nodes else shape for nodes in (inner, side)]
            if sizes[0] != sizes[1]:
                raise InvalidInputError(
                    f"{where}: {path} adds {sizes[0]} and {sizes[1]}; give the shortcut a projection"
                )
            return Node(layer, path, shape, sizes[0], body=inner, shortcut=side)
        case _:
            return Node(layer, path, shape, shape)


def _undefined(layer: Layer) -> str:
    """Why no framework, or not every framework alike, can compute a layer; empty where all can."""
    match layer:
        case Conv(filters, kernel, stride, padding) if min(filters, kernel, stride) < 1 or padding < 0:
            return "filters, kernel and stride are at least 1, padding at least 0"
        case Pool(_, size, stride, padding) if min(size, stride) < 1 or padding < 0:
            return "size and stride are at least 1, padding at least 0"
        case Pool(_, size, _, padding) if 2 * padding > size:
            # A window of nothing but padding has no maximum and no mean.
            return f"padding is at most half the window of {size}"
        case Dropout(rate) if not 0.0 <= rate < 1.0:
            return "rate is at least 0 and less than 1"
        case Dense(units) if units < 1:
            return "units are at least 1"
        case _:
            return ""


def _slide(shape: Shape, kernel: int, stride: int, padding: int) -> Shape:
    return tuple((size + 2 * padding - kernel) // stride + 1 for size in shape[:2])


def _walk(nodes: tuple[Node, ...], depth: int) -> Iterator[tuple[int, Node]]:
    for node in nodes:
        yield depth, node
        yield from _walk(node.body, depth + 1)
        yield from _walk(node.shortcut, depth + 1)
