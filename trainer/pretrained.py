"""Weights with torchvision's names and layouts as canonical weights. NumPy only."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from core.errors import InvalidInputError
from trainer.architectures import get_architecture
from trainer.architectures.imagenet import RESNET_BLOCKS
from trainer.layers import Architecture, Dense, Flatten, Node, Residual, Shape
from trainer.weights import Weights

NAMES = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
IGNORED = "num_batches_tracked"
"""torch counts a norm's batches in a tensor; nothing is computed from it at a fixed momentum."""
BLOCK = {
    "body.conv1": "conv1",
    "body.batchnorm1": "bn1",
    "body.conv2": "conv2",
    "body.batchnorm2": "bn2",
    "shortcut.conv1": "downsample.0",
    "shortcut.batchnorm1": "downsample.1",
}
"""Inside a BasicBlock."""


def resnet_modules(architecture: Architecture) -> dict[str, str]:
    """Canonical layer path to torchvision's module, for a residual network of BasicBlocks."""
    found = {"conv1": "conv1", "batchnorm1": "bn1", "dense1": "fc"}
    blocks = iter(node.path for node in architecture.nodes if isinstance(node.layer, Residual))
    for stage, number in enumerate(RESNET_BLOCKS[architecture.name], 1):
        for index in range(number):
            path = next(blocks)
            found |= {f"{path}.{ours}": f"layer{stage}.{index}.{theirs}" for ours, theirs in BLOCK.items()}
    return found


def vgg_modules(architecture: Architecture) -> dict[str, str]:
    """The same for a VGG: its modules are numbered in two sequences, before and after flatten."""
    nodes = architecture.nodes
    split = next(index for index, node in enumerate(nodes) if isinstance(node.layer, Flatten))
    parts = {"features": nodes[:split], "classifier": nodes[split + 1 :]}
    return {node.path: f"{name}.{index}" for name, part in parts.items() for index, node in enumerate(part)}


MODULES: dict[str, Callable[[Architecture], dict[str, str]]] = {
    "resnet18": resnet_modules,
    "resnet34": resnet_modules,
    "vgg11": vgg_modules,
}


def torchvision_names(architecture: Architecture) -> dict[str, str]:
    """Canonical weight key to the tensor's name in torchvision's model.

    Raises:
        InvalidInputError: torchvision has no such network.
    """
    if architecture.name not in MODULES:
        raise InvalidInputError(
            f"there are no pretrained weights for {architecture.name}; networks in torchvision's layout: "
            f"{', '.join(MODULES)}"
        )
    modules = MODULES[architecture.name](architecture)
    split = (key.rsplit("/", 1) for key in architecture.parameters)
    return {f"{path}/{name}": f"{modules[path]}.{NAMES[name]}" for path, name in split}


def head_keys(architecture: Architecture) -> tuple[str, ...]:
    """Canonical keys of the last layer."""
    last = architecture.nodes[-1]
    return tuple(f"{last.path}/{name}" for name in last.parameters)


def check_tensors(shapes: Mapping[str, Shape], architecture: Architecture, keep_head: bool, source: str) -> None:
    """Raises InvalidInputError when a file's tensors are not a network's, naming the first and what it looks like.

    Args:
        shapes: the file's tensors, in torch's layout.
        keep_head: whether the last layer must fit as well; otherwise it may have any shape, or be absent.
        source: the file, for the message.
    """
    names, heads = torchvision_names(architecture), head_keys(architecture)
    needed = {key: name for key, name in names.items() if keep_head or key not in heads}
    if absent := sorted(set(needed.values()) - shapes.keys()):
        raise InvalidInputError(_foreign(source, architecture, f"lacks {_some(absent)}", shapes))
    given = {name for name in shapes if not name.endswith(IGNORED)}
    if unknown := sorted(given - set(names.values())):
        raise InvalidInputError(_foreign(source, architecture, f"has {_some(unknown)} besides", shapes))
    for node, key, name in _tensors(architecture, needed):
        expected = _torch_shape(node.parameters[key.rsplit("/", 1)[1]].shape)
        if tuple(shapes[name]) != expected:
            raise InvalidInputError(
                f"{source}: {name!r} has shape {tuple(shapes[name])}, {architecture.name} for images of "
                f"{'×'.join(map(str, architecture.input_shape))} and {architecture.classes} classes expects {expected}"
                + _advice(key, architecture)
            )


def to_canonical(tensors: Mapping[str, NDArray[np.floating]], architecture: Architecture, keep_head: bool) -> Weights:
    """A file's tensors in canonical layout, without the last layer unless it is kept.

    Raises:
        InvalidInputError: a value is not finite.
    """
    names, heads = torchvision_names(architecture), head_keys(architecture)
    wanted = {key: name for key, name in names.items() if keep_head or key not in heads}
    weights = {}
    previous = _images_before_flatten(architecture)
    for node, key, name in _tensors(architecture, wanted):
        if not np.isfinite(tensors[name]).all():
            raise InvalidInputError(f"weights {name!r} hold values that are not finite; the file is damaged")
        weights[key] = _canonical(tensors[name], previous.get(node.path))
    return weights


def _tensors(architecture: Architecture, names: Mapping[str, str]) -> Iterator[tuple[Node, str, str]]:
    """Node, canonical key and torchvision's name of every wanted tensor."""
    for _, node in architecture.walk():
        for name in node.parameters:
            key = f"{node.path}/{name}"
            if key in names:
                yield node, key, names[key]


def _images_before_flatten(architecture: Architecture) -> dict[str, Shape]:
    """Path of a dense layer right after flatten to the image that was flattened."""
    pairs = zip(architecture.nodes, architecture.nodes[1:], strict=False)
    return {
        after.path: before.input_shape
        for before, after in pairs
        if isinstance(before.layer, Flatten) and isinstance(after.layer, Dense) and len(before.input_shape) == 3
    }


def _canonical(tensor: NDArray[np.floating], flattened: Shape | None) -> NDArray[np.floating]:
    """OIHW to HWIO, out×in to in×out; rows after a flatten from torch's channel, height, width order to ours."""
    if tensor.ndim == 4:
        return np.ascontiguousarray(tensor.transpose(2, 3, 1, 0))
    if tensor.ndim != 2:
        return tensor
    if flattened is None:
        return np.ascontiguousarray(tensor.T)
    height, width, channels = flattened
    by_place = tensor.reshape(len(tensor), channels, height, width)
    return np.ascontiguousarray(by_place.transpose(2, 3, 1, 0).reshape(-1, len(tensor)))


def _torch_shape(shape: Shape) -> Shape:
    if len(shape) == 4:
        return (shape[3], shape[2], shape[0], shape[1])
    return tuple(reversed(shape))


def _foreign(source: str, architecture: Architecture, problem: str, shapes: Mapping[str, Shape]) -> str:
    likely = [name for name in MODULES if name != architecture.name and _is(shapes, name)]
    hint = f"; it looks like {likely[0]}" if likely else ""
    return f"{source} does not hold {architecture.name}: it {problem}{hint}"


def _is(shapes: Mapping[str, Shape], name: str) -> bool:
    tensors = {key for key in shapes if not key.endswith(IGNORED)}
    return tensors == set(torchvision_names(get_architecture(name)).values())


def _advice(key: str, architecture: Architecture) -> str:
    if key in head_keys(architecture):
        return "; write head: replace to give these classes a new last layer"
    if key.split("/")[0] in _images_before_flatten(architecture):
        return "; its weights fit images whose sides // 32 are one multiple of 7, as those of 224 or 448 pixels are"
    return ""


def _some(names: list[str]) -> str:
    return ", ".join(map(repr, names[:3])) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
