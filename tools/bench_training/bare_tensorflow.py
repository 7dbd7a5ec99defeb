"""TensorFlow Core as its guides write it: variables, a tf.function with GradientTape, tf.data, Adam by hand."""

from collections.abc import Iterator
from time import perf_counter
from typing import Any

import numpy as np
import tensorflow as tf


class Adam:
    def __init__(self, variables: list[Any], rate: float = 1e-3) -> None:
        self.rate, self.step = rate, tf.Variable(0.0)
        self.first = [tf.Variable(tf.zeros_like(v)) for v in variables]
        self.second = [tf.Variable(tf.zeros_like(v)) for v in variables]

    def apply(self, gradients: list[Any], variables: list[Any]) -> None:
        self.step.assign_add(1.0)
        for gradient, variable, first, second in zip(gradients, variables, self.first, self.second, strict=True):
            first.assign(0.9 * first + 0.1 * gradient)
            second.assign(0.999 * second + 0.001 * tf.square(gradient))
            corrected = tf.sqrt(second / (1.0 - tf.pow(0.999, self.step)))
            variable.assign_sub(self.rate * first / (1.0 - tf.pow(0.9, self.step)) / (corrected + 1e-7))


def xavier(*shape: int) -> Any:
    window = int(np.prod(shape[:-2]))
    limit = (6.0 / (window * (shape[-2] + shape[-1]))) ** 0.5
    return tf.Variable(tf.random.uniform(shape, -limit, limit))


def epochs(
    images: np.ndarray, labels: np.ndarray, filters: tuple[int, ...], padding: int, batch_size: int
) -> Iterator[float]:
    size, channels, kernels = images.shape[1], images.shape[3], []
    for number in filters:
        kernels.append((xavier(3, 3, channels, number), tf.Variable(tf.zeros(number))))
        size, channels = (size + 2 * padding - 2) // 2, number
    hidden = (xavier(size * size * channels, 128), tf.Variable(tf.zeros(128)))
    output = (xavier(128, 10), tf.Variable(tf.zeros(10)))
    variables = [variable for pair in (*kernels, hidden, output) for variable in pair]
    optimizer = Adam(variables)

    def network(x: Any) -> Any:
        for kernel, bias in kernels:
            x = tf.nn.relu(tf.nn.conv2d(x, kernel, 1, "SAME" if padding else "VALID") + bias)
            x = tf.nn.max_pool2d(x, 2, 2, "VALID")
        x = tf.nn.relu(tf.reshape(x, [-1, hidden[0].shape[0]]) @ hidden[0] + hidden[1])
        return tf.nn.dropout(x, 0.5) @ output[0] + output[1]

    @tf.function
    def train_step(inputs: Any, targets: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(targets, network(inputs)))
        optimizer.apply(tape.gradient(loss, variables), variables)
        return loss

    data = tf.data.Dataset.from_tensor_slices((images.astype("float32") / 255, labels))
    data = data.shuffle(len(images)).batch(batch_size).prefetch(tf.data.AUTOTUNE)
    while True:
        start = perf_counter()
        for inputs, targets in data:
            train_step(inputs, targets)
            ended = perf_counter()
        yield ended - start
