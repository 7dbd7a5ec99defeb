"""A network in TensorFlow Core: its variables, its computation, its loss, and the guides' initial weights."""

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.framework import BuildSettings
from trainer.frameworks._tf import tf
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
    Residual,
)
from trainer.objective import Objective
from trainer.weights import ONES, Weights

NORM_MOMENTUM, NORM_EPSILON = 0.99, 1e-3
ACTIVATIONS = {"relu": tf.nn.relu, "tanh": tf.nn.tanh, "sigmoid": tf.nn.sigmoid}


@dataclass(frozen=True)
class Run:
    """How a network is computed this time."""

    training: bool = False
    masks: dict[str, Any] | None = None
    """By dropout path; None draws them here."""
    update: bool = True
    """Whether training mode updates the running statistics."""
    reduced: bool = False
    """Whether convolutions and matrix products compute in bfloat16."""
    fixed: frozenset[str] = frozenset()
    """Paths of batch norms that compute as in inference."""


INFERENCE = Run()


class Network(tf.Module):
    """A network's variables, by canonical key, and its computation."""

    def __init__(self, architecture: Architecture, weights: Weights, settings: BuildSettings) -> None:
        super().__init__(name="network")
        self.architecture = architecture
        self.dtype = tf.as_dtype(settings.dtype)
        self.norm = settings.recipe.batch_norm
        fused = settings.recipe.arithmetic == "framework" and settings.dtype == "float32"
        self.normalize = _normalize_fused if fused else _normalize
        self.scale = [1.0 / (255.0 * std) for std in settings.std]
        self.offset = [-mean / std for mean, std in zip(settings.mean, settings.std, strict=True)]
        self.parameters = {
            key: tf.Variable(weights[key], trainable=parameter.trainable, dtype=self.dtype, name=key.replace(".", "_"))
            for key, parameter in architecture.parameters.items()
        }

    def __call__(self, images: Any, run: Run) -> Any:
        """uint8 images [n, height, width, channels] → logits [n, outputs]."""
        pixels = tf.cast(images, self.dtype)
        x = pixels * tf.constant(self.scale, self.dtype) + tf.constant(self.offset, self.dtype)
        return tf.cast(self._chain(self.architecture.nodes, x, run), self.dtype)

    def _chain(self, nodes: tuple[Node, ...], x: Any, run: Run) -> Any:
        for node in nodes:
            x = self._apply(node, x, run)
        return x

    def _apply(self, node: Node, x: Any, run: Run) -> Any:
        match node.layer:
            case Conv(_, kernel, stride, padding, _):
                same = stride == 1 and 2 * padding == kernel - 1
                x, kernel_values = self._operands(node, x, run)
                y = tf.nn.conv2d(x, kernel_values, stride, "SAME" if same else _padding(padding))
                return self._biased(node, y, run) if node.layer.bias else y
            case BatchNorm():
                return self._batch_norm(node, x, run)
            case Activation(kind):
                return ACTIVATIONS[kind](x)
            case Pool(kind, size, stride, padding):
                return _pool(x, kind, size, stride, padding)
            case Dropout(rate):
                return _dropout(x, rate, node.path, run)
            case Flatten():
                return tf.reshape(x, [-1, prod(node.input_shape)])
            case Dense(_, bias):
                y = tf.matmul(*self._operands(node, x, run))
                return self._biased(node, y, run) if bias else y
            case GlobalPool():
                return tf.reduce_mean(x, [1, 2])
            case Residual():
                return self._chain(node.body, x, run) + self._chain(node.shortcut, x, run)

    def _operands(self, node: Node, x: Any, run: Run) -> tuple[Any, Any]:
        """Values and kernel in the dtype of the product."""
        dtype = tf.bfloat16 if run.reduced else self.dtype
        return tf.cast(x, dtype), tf.cast(self._of(node, "kernel"), dtype)

    def _biased(self, node: Node, y: Any, run: Run) -> Any:
        bias = tf.cast(self._of(node, "bias"), y.dtype)
        # The gradient of bias_add costs a tenth more CPU time a step than that of a sum; exports know bias_add best.
        return y + bias if run.training else tf.nn.bias_add(y, bias)

    def _of(self, node: Node, name: str) -> Any:
        return self.parameters[f"{node.path}/{name}"]

    def _batch_norm(self, node: Node, x: Any, run: Run) -> Any:
        x = tf.cast(x, self.dtype)
        gamma, beta = self._of(node, "gamma"), self._of(node, "beta")
        mean, variance = self._of(node, "moving_mean"), self._of(node, "moving_variance")
        epsilon = _default(self.norm.epsilon, NORM_EPSILON)
        if not run.training or node.path in run.fixed:
            return tf.nn.batch_normalization(x, mean, variance, beta, gamma, epsilon)
        y, batch_mean, unbiased = self.normalize(x, gamma, beta, epsilon)
        if run.update:
            momentum = _default(self.norm.momentum, NORM_MOMENTUM)
            mean.assign(momentum * mean + (1.0 - momentum) * batch_mean)
            variance.assign(momentum * variance + (1.0 - momentum) * unbiased)
        return y


def scores(head: Head, logits: Any) -> Any:
    """Values whose softmax is the head's distribution [n, classes]: the loss is stable for every head.

    σ(z) is the second entry of softmax([0, z]); σᵢ / Σσ is the softmax of log σ.
    """
    if head == "sigmoid":
        return tf.concat([tf.zeros_like(logits), logits], axis=1)
    return tf.math.log_sigmoid(logits) if head == "normalized_sigmoid" else logits


def losses(head: Head, logits: Any, labels: Any, goal: Objective, weighted: bool) -> Any:
    """The objective of every image [n], times its class's weight if `weighted`."""
    values = scores(head, logits)
    each = _each(values, labels, goal)
    if not weighted or goal.class_weights is None:
        return each
    return each * tf.gather(tf.constant(goal.class_weights, values.dtype), labels)


def _each(values: Any, labels: Any, goal: Objective) -> Any:
    if goal.plain:
        return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=values)
    classes = values.shape[1]
    targets = tf.one_hot(labels, classes, dtype=values.dtype) * (1.0 - goal.smoothing) + goal.smoothing / classes
    if goal.kind == "cross_entropy":
        return tf.nn.softmax_cross_entropy_with_logits(targets, values)
    return tf.reduce_mean(tf.square(tf.nn.softmax(values) - targets), axis=1)


def initial(architecture: Architecture, seed: int) -> Weights:
    """The guides' initial weights, float64: Glorot uniform kernels, ones for scales and variances, zeros elsewhere."""
    return {
        key: _xavier(parameter.shape, (seed, index))
        if key.endswith("/kernel")
        else np.full(parameter.shape, float(key.rsplit("/", 1)[-1] in ONES))
        for index, (key, parameter) in enumerate(architecture.parameters.items())
    }


def _normalize(x: Any, gamma: Any, beta: Any, epsilon: float) -> tuple[Any, Any, Any]:
    """x in units of the batch's own (biased) deviation, scaled and shifted; the batch's mean and unbiased variance."""
    mean = _mean(x)
    centred = x - mean
    variance = _mean(tf.square(centred))
    count = tf.cast(tf.size(x) // x.shape[-1], x.dtype)
    unbiased = variance * (count / tf.maximum(count - 1.0, 1.0))
    return centred * (gamma * tf.math.rsqrt(variance + epsilon)) + beta, mean, unbiased


def _normalize_fused(x: Any, gamma: Any, beta: Any, epsilon: float) -> tuple[Any, Any, Any]:
    """The same by TensorFlow's own operator: a quarter less work, a variance right to three digits, float32 only."""
    image = x if len(x.shape) == 4 else x[:, tf.newaxis, tf.newaxis, :]
    y, mean, unbiased, *_ = tf.raw_ops.FusedBatchNormV3(
        x=image, scale=gamma, offset=beta, mean=[], variance=[], epsilon=epsilon, is_training=True
    )
    return tf.reshape(y, tf.shape(x)), mean, unbiased


def _mean(x: Any) -> Any:
    """Mean over all axes but the last, one axis at a time: a long float32 sum loses four digits, short ones none."""
    for axis in reversed(range(len(x.shape) - 1)):
        x = tf.reduce_mean(x, axis)
    return x


def _dropout(x: Any, rate: float, path: str, run: Run) -> Any:
    if not run.training:
        return x
    if run.masks is None:
        return tf.nn.dropout(x, rate)
    return x * (tf.cast(run.masks[path], x.dtype) * (1.0 / (1.0 - rate)))


def _pool(x: Any, kind: str, size: int, stride: int, padding: int) -> Any:
    if kind == "max":
        return tf.nn.max_pool2d(x, size, stride, _padding(padding))
    # The average counts the zeros around the image, so that all windows weigh their pixels alike.
    return tf.nn.avg_pool2d(tf.pad(x, _explicit(padding)), size, stride, "VALID")


def _padding(padding: int) -> Any:
    # SAME and VALID have faster kernels than the same padding written out.
    return _explicit(padding) if padding else "VALID"


def _explicit(padding: int) -> list[list[int]]:
    return [[0, 0], [padding, padding], [padding, padding], [0, 0]]


def _xavier(shape: tuple[int, ...], seed: tuple[int, int]) -> NDArray[np.floating]:
    window = prod(shape[:-2])
    limit = (6.0 / (window * (shape[-2] + shape[-1]))) ** 0.5
    values: NDArray[np.floating] = tf.random.stateless_uniform(shape, seed, -limit, limit, tf.float64).numpy()
    return values


def _default(value: float | None, default: float) -> float:
    return default if value is None else value
