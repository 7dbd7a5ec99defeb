"""Optimisers in TensorFlow Core, where every program writes its own: the guides' classes, their state in variables."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from core.schemas.recipe import Adam, AdamW, Recipe, Sgd
from trainer.frameworks._tf import tf

RATE, BETAS, EPSILON, DECAY = 1e-3, (0.9, 0.999), 1e-7, 0.01
"""Of the guides, where the recipe names none; they have no decay, so that one is the paper's."""


@dataclass(frozen=True)
class Target:
    """A variable that learns."""

    variable: Any
    share: float
    """Of the learning rate."""
    l2: float
    """l2·w is added to its gradient."""
    decay: float
    """rate·decay·w is taken off it before a step."""

    def gradient(self, gradient: Any) -> Any:
        """The gradient of the loss with its penalty."""
        return gradient + self.l2 * self.variable if self.l2 else gradient

    def decayed(self, rate: Any) -> Any:
        """Takes the decay off; the variable's own learning rate."""
        own = rate * self.share if self.share != 1.0 else rate
        if self.decay:
            self.variable.assign_sub(own * self.decay * self.variable)
        return own


class AdamOptimizer(tf.Module):
    """Adam (Kingma and Ba 2015, algorithm 1): ε is added after bias correction."""

    def __init__(self, spec: Adam | AdamW, targets: Sequence[Target]) -> None:
        super().__init__(name="adam")
        self.rate = _default(spec.learning_rate, RATE)
        self.beta_1, self.beta_2 = _default(spec.beta_1, BETAS[0]), _default(spec.beta_2, BETAS[1])
        self.epsilon = _default(spec.epsilon, EPSILON)
        self.targets = tuple(targets)
        self.steps = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.means = [tf.Variable(tf.zeros_like(target.variable), trainable=False) for target in targets]
        self.squares = [tf.Variable(tf.zeros_like(target.variable), trainable=False) for target in targets]

    @property
    def state(self) -> list[Any]:
        """Variables of a checkpoint."""
        return [*self.means, *self.squares, self.steps]

    def apply(self, gradients: list[Any], rate: Any) -> None:
        """One step at a learning rate."""
        steps = tf.cast(self.steps.assign_add(1), rate.dtype)
        beta_1, beta_2 = (tf.constant(beta, steps.dtype) for beta in (self.beta_1, self.beta_2))
        power_1, power_2 = tf.pow(beta_1, steps), tf.pow(beta_2, steps)
        # The operator, one pass over a variable, adds its ε before bias correction: √(v/s) + ε = (√v + ε·√s) / √s.
        epsilon = self.epsilon * tf.sqrt(1.0 - power_2)
        for plain, target, mean, square in zip(gradients, self.targets, self.means, self.squares, strict=True):
            own = target.decayed(rate)
            tf.raw_ops.ResourceApplyAdam(
                var=target.variable.handle,
                m=mean.handle,
                v=square.handle,
                beta1_power=power_1,
                beta2_power=power_2,
                lr=own,
                beta1=beta_1,
                beta2=beta_2,
                epsilon=epsilon,
                grad=target.gradient(plain),
            )


class SgdOptimizer(tf.Module):
    """Gradient descent with heavy-ball momentum: v ← m·v + g; w ← w − rate·v."""

    def __init__(self, spec: Sgd, targets: Sequence[Target]) -> None:
        super().__init__(name="sgd")
        self.rate, self.momentum = _default(spec.learning_rate, RATE), _default(spec.momentum, 0.0)
        self.targets = tuple(targets)
        held = targets if self.momentum else ()
        self.velocities = [tf.Variable(tf.zeros_like(target.variable), trainable=False) for target in held]

    @property
    def state(self) -> list[Any]:
        """Variables of a checkpoint."""
        return list(self.velocities)

    def apply(self, gradients: list[Any], rate: Any) -> None:
        """One step at a learning rate."""
        for index, (gradient, target) in enumerate(zip(gradients, self.targets, strict=True)):
            step = target.gradient(gradient)
            if self.momentum:
                step = self.velocities[index].assign(self.momentum * self.velocities[index] + step)
            target.variable.assign_sub(target.decayed(rate) * step)


Optimizer = AdamOptimizer | SgdOptimizer


def make_optimizer(recipe: Recipe, variables: dict[str, Any], shares: dict[str, float]) -> Optimizer:
    """The recipe's optimiser with its moments at zero, for variables by canonical key; kernels alone decay."""
    spec = recipe.optimizer
    decay = _default(spec.weight_decay, DECAY) if isinstance(spec, AdamW) else 0.0
    targets = [
        Target(variable, shares[key], *((recipe.l2, decay) if key.endswith("/kernel") else (0.0, 0.0)))
        for key, variable in variables.items()
    ]
    return SgdOptimizer(spec, targets) if isinstance(spec, Sgd) else AdamOptimizer(spec, targets)


def _default(value: float | None, default: float) -> float:
    return default if value is None else value
