"""The canonical arithmetic as Keras classes, for trainings only: an export has stock layers."""

from typing import Any

from keras import layers, ops


class CanonicalBatchNormalization(layers.BatchNormalization):
    """Batch normalisation whose running variance is the unbiased one, n / (n − 1) of Keras's."""

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        # Fixed layers compute as in inference: Keras's own rule.
        if not training or not self.trainable:
            return super().call(inputs, training=False)
        mean = _mean(inputs)
        variance = _mean(ops.square(inputs - mean))
        count = ops.cast(ops.size(inputs) // inputs.shape[-1], variance.dtype)
        unbiased = variance * (count / ops.maximum(count - 1.0, 1.0))
        self._follow(self.moving_mean, mean)
        self._follow(self.moving_variance, unbiased)
        # Keras's own x·s + (β − mean·s) cancels where the mean is far from zero.
        return (inputs - mean) * (self.gamma * ops.rsqrt(variance + self.epsilon)) + self.beta

    def _follow(self, running: Any, batch: Any) -> None:
        running.assign(self.momentum * running + (1.0 - self.momentum) * batch)


def _mean(values: Any) -> Any:
    """Mean over all axes but the last, one axis at a time: a long float32 sum loses four digits, short ones none."""
    for axis in reversed(range(len(values.shape) - 1)):
        values = ops.mean(values, axis=axis)
    return values


class GivenDropout(layers.Layer):
    """Dropout with masks that come with the batch: called with [values, uint8 masks], 1 keeps a value."""

    def __init__(self, rate: float, **options: Any) -> None:
        super().__init__(**options)
        self.rate = rate

    def call(self, inputs: list[Any]) -> Any:
        values, mask = inputs
        return values * (ops.cast(mask, values.dtype) * (1.0 / (1.0 - self.rate)))
