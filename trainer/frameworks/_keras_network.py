"""An architecture as Keras 3 functional models."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from core.schemas.recipe import BatchNormSpec
from trainer.framework import BuildSettings
from trainer.frameworks._keras_layers import CanonicalBatchNormalization, GivenDropout
from trainer.layers import (
    Activation,
    Architecture,
    BatchNorm,
    Conv,
    Dense,
    Dropout,
    Flatten,
    GlobalPool,
    Head,
    Node,
    Pool,
)


@contextmanager
def precision(dtype: str, policy: str | None = None) -> Iterator[None]:
    """Keras's default dtype for what is made inside: layers, losses, metrics and the optimiser's learning rate.

    Args:
        policy: of layers, where it is another one.
    """
    before = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx(dtype)
    keras.config.set_dtype_policy(policy or dtype)
    try:
        yield
    finally:
        keras.config.set_floatx(before[0])
        keras.config.set_dtype_policy(before[1])


def scores(head: Head, logits: Any) -> Any:
    """Values whose softmax is the head's distribution [n, classes]: one stable loss fits every head.

    σ(z) is the second entry of softmax([0, z]); σᵢ / Σσ is the softmax of log σ.
    """
    if head == "sigmoid":
        return ops.pad(logits, [[0, 0], [1, 0]])
    return ops.log_sigmoid(logits) if head == "normalized_sigmoid" else logits


@dataclass(frozen=True)
class Networks:
    """Functional models over the same layers, hence the same weights."""

    layers: dict[str, Any]
    """By path."""
    plain: Any
    """uint8 image → logits, Keras's own dropout in training mode."""
    masked: Any
    """{"image", dropout path: uint8 mask …} → logits."""


class Builder:
    """Makes each layer once and connects them as often as models are wanted."""

    def __init__(self, architecture: Architecture, settings: BuildSettings, canonical: bool) -> None:
        self._architecture, self._settings = architecture, settings
        self._norm = CanonicalBatchNormalization if canonical else layers.BatchNormalization
        self._layers: dict[str, Any] = {}

    def build(self) -> Networks:
        """Both models."""
        image = keras.Input(self._architecture.input_shape, dtype="uint8", name="image")
        plain = keras.Model(image, self._connect(image, {}), name=self._architecture.name)
        dropouts = self._architecture.dropouts
        masks = {node.path: keras.Input(node.output_shape, dtype="uint8", name=node.path) for node in dropouts}
        masked = keras.Model({"image": image, **masks}, self._connect(image, masks), name="masked")
        return Networks(self._layers, plain, masked)

    def _connect(self, image: Any, masks: dict[str, Any]) -> Any:
        return self._chain(self._architecture.nodes, self._rescaling()(image), masks)

    def _rescaling(self) -> Any:
        # As float64 arrays: Keras would round python numbers to float32.
        mean, std = np.array(self._settings.mean), np.array(self._settings.std)
        # The dtype matters under a mixed policy alone: pixels and batch statistics are never reduced.
        return self._once("rescaling", layers.Rescaling, 1.0 / (255.0 * std), -mean / std, dtype=self._settings.dtype)

    def _chain(self, nodes: tuple[Node, ...], x: Any, masks: dict[str, Any]) -> Any:
        for node in nodes:
            x = self._apply(node, x, masks)
        return x

    def _apply(self, node: Node, x: Any, masks: dict[str, Any]) -> Any:
        path = node.path
        match node.layer:
            case Conv(filters, kernel, stride, padding, bias):
                same = stride == 1 and 2 * padding == kernel - 1
                if padding and not same:
                    x = self._once(f"{path}.padding", layers.ZeroPadding2D, padding)(x)
                border = "same" if same else "valid"
                return self._once(path, layers.Conv2D, filters, kernel, stride, border, use_bias=bias)(x)
            case BatchNorm():
                options = _norm_options(self._settings.recipe.batch_norm)
                return self._once(path, self._norm, dtype=self._settings.dtype, **options)(x)
            case Activation(kind):
                return self._once(path, layers.Activation, kind)(x)
            case Pool(kind, size, stride, padding):
                if padding:
                    # Zeros count in an average; for a maximum they must never win.
                    x = ops.pad(x, [[0, 0], [padding] * 2, [padding] * 2, [0, 0]], constant_values=_border(kind))
                pool = layers.MaxPooling2D if kind == "max" else layers.AveragePooling2D
                return self._once(path, pool, size, stride)(x)
            case Dropout(rate):
                if path in masks:
                    return self._once(f"{path}.given", GivenDropout, rate)([x, masks[path]])
                return self._once(path, layers.Dropout, rate)(x)
            case Flatten():
                return self._once(path, layers.Flatten)(x)
            case Dense(units, bias):
                return self._once(path, layers.Dense, units, use_bias=bias)(x)
            case GlobalPool():
                return self._once(path, layers.GlobalAveragePooling2D)(x)
            case _:
                sides = [self._chain(node.body, x, masks), self._chain(node.shortcut, x, masks)]
                return self._once(path, layers.Add)(sides)

    def _once(self, path: str, kind: Any, *values: Any, **options: Any) -> Any:
        if path not in self._layers:
            self._layers[path] = kind(*values, name=path, **options)
        return self._layers[path]


def stock_probabilities(networks: Networks, head: Head) -> Any:
    """A model image → probabilities for inference, a copy with stock layers and the same weights."""
    logits = keras.models.clone_model(networks.plain, clone_function=_stock)
    logits.set_weights(networks.plain.get_weights())
    return with_probabilities(logits, head)


def with_probabilities(network: Any, head: Head) -> Any:
    """A model image → probabilities over a network's own layers."""
    output = layers.Softmax(name="probabilities")(scores(head, network.output))
    return keras.Model(network.input, output, name=network.name)


def _stock(layer: Any) -> Any:
    kind = layers.BatchNormalization if isinstance(layer, CanonicalBatchNormalization) else type(layer)
    config = layer.get_config()
    # A bare operation, such as a pad, has no policy.
    policy = getattr(layer, "dtype_policy", None)
    if policy is not None and policy.compute_dtype == "bfloat16":
        config["dtype"] = policy.variable_dtype
    return kind.from_config(config)


def _norm_options(spec: BatchNormSpec) -> dict[str, float]:
    return {key: value for key, value in spec.model_dump().items() if value is not None}


def _border(kind: str) -> float:
    return -math.inf if kind == "max" else 0.0
