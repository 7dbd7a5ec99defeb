"""Optimisers in TensorFlow Core, where every program writes its own: the guides' classes, their state in variables."""

from typing import Any

from core.schemas.recipe import Adam, Sgd
from trainer.frameworks._tf import tf

RATE, BETAS, EPSILON = 1e-3, (0.9, 0.999), 1e-7
"""Of the guides, where the recipe names none."""


class AdamOptimizer(tf.Module):
    """Adam (Kingma and Ba 2015, algorithm 1): ε is added after bias correction."""

    def __init__(self, spec: Adam, variables: tuple[Any, ...]) -> None:
        super().__init__(name="adam")
        self.rate = _default(spec.learning_rate, RATE)
        self.beta_1, self.beta_2 = _default(spec.beta_1, BETAS[0]), _default(spec.beta_2, BETAS[1])
        self.epsilon = _default(spec.epsilon, EPSILON)
        self.steps = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.means = [tf.Variable(tf.zeros_like(variable), trainable=False) for variable in variables]
        self.squares = [tf.Variable(tf.zeros_like(variable), trainable=False) for variable in variables]

    def apply(self, gradients: list[Any], variables: tuple[Any, ...]) -> None:
        """One step."""
        steps = tf.cast(self.steps.assign_add(1), variables[0].dtype)
        mean_share = 1.0 - tf.pow(tf.constant(self.beta_1, steps.dtype), steps)
        square_share = 1.0 - tf.pow(tf.constant(self.beta_2, steps.dtype), steps)
        for gradient, variable, mean, square in zip(gradients, variables, self.means, self.squares, strict=True):
            mean.assign(self.beta_1 * mean + (1.0 - self.beta_1) * gradient)
            square.assign(self.beta_2 * square + (1.0 - self.beta_2) * tf.square(gradient))
            variable.assign_sub(self.rate * (mean / mean_share) / (tf.sqrt(square / square_share) + self.epsilon))


class SgdOptimizer(tf.Module):
    """Gradient descent with heavy-ball momentum: v ← m·v + g; w ← w − rate·v."""

    def __init__(self, spec: Sgd, variables: tuple[Any, ...]) -> None:
        super().__init__(name="sgd")
        self.rate, self.momentum = _default(spec.learning_rate, RATE), _default(spec.momentum, 0.0)
        self.velocities = [tf.Variable(tf.zeros_like(v), trainable=False) for v in variables if self.momentum]

    def apply(self, gradients: list[Any], variables: tuple[Any, ...]) -> None:
        """One step."""
        for index, (gradient, variable) in enumerate(zip(gradients, variables, strict=True)):
            step = gradient
            if self.momentum:
                step = self.velocities[index].assign(self.momentum * self.velocities[index] + gradient)
            variable.assign_sub(self.rate * step)


Optimizer = AdamOptimizer | SgdOptimizer


def make_optimizer(spec: Adam | Sgd, variables: tuple[Any, ...]) -> Optimizer:
    """The recipe's optimiser with its moments at zero."""
    return AdamOptimizer(spec, variables) if isinstance(spec, Adam) else SgdOptimizer(spec, variables)


def _default(value: float | None, default: float) -> float:
    return default if value is None else value
