"""Keras's optimisers, their canonical forms, and the learning rate of every step."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops, optimizers
from keras.optimizers.schedules import CosineDecay, ExponentialDecay, LearningRateSchedule

from core.schemas.metrics import EpochMetrics
from core.schemas.recipe import AdamW, Recipe, Sgd
from core.schemas.schedule import Constant, Cosine, Exponential, OneCycle, Schedule, StepDecay
from trainer.frameworks._tf import tf
from trainer.phases import Phase
from trainer.schedules import epoch_shares

RATES = {"adam": 1e-3, "adamw": 1e-3, "sgd": 1e-2}
DECAY = 0.004
"""Keras's own, where the recipe names none."""


class CanonicalAdam(optimizers.Adam):
    """Adam (Kingma and Ba 2015, algorithm 1): ε is added after bias correction; Keras adds it before."""

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        index = self._get_variable_index(variable)
        mean, square = self._momentums[index], self._velocities[index]
        steps = ops.cast(self.iterations + 1, variable.dtype)
        self.assign(mean, self.beta_1 * mean + (1.0 - self.beta_1) * gradient)
        self.assign(square, self.beta_2 * square + (1.0 - self.beta_2) * ops.square(gradient))
        # Casting the python numbers first would round them to float32.
        direction = mean / (1.0 - ops.power(self.beta_1, steps))
        deviation = ops.sqrt(square / (1.0 - ops.power(self.beta_2, steps)))
        self.assign_sub(variable, ops.cast(learning_rate, variable.dtype) * direction / (deviation + self.epsilon))


class CanonicalSgd(optimizers.SGD):
    """Heavy-ball momentum: v ← m·v + g; w ← w − rate·v. Keras keeps rate·v instead of v."""

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        step = gradient
        if self.momentum:
            velocity = self.momentums[self._get_variable_index(variable)]
            self.assign(velocity, self.momentum * velocity + gradient)
            step = velocity
        self.assign_sub(variable, ops.cast(learning_rate, variable.dtype) * step)


@dataclass(frozen=True)
class Rule:
    """How one variable learns."""

    share: float = 1.0
    """Of the learning rate."""
    l2: float = 0.0
    """l2·w is added to its gradient."""
    decay: float = 0.0
    """rate·decay·w is taken off it before a step."""


class Ruled:
    """Mixed into an optimiser class: a rule for every variable, in the order it was built with."""

    rules: tuple[Rule, ...]

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        rule = self.rules[self._get_variable_index(variable)]  # type: ignore[attr-defined]
        rate = ops.cast(learning_rate, variable.dtype)
        rate = rate * rule.share if rule.share != 1.0 else rate
        if rule.l2:
            gradient = gradient + rule.l2 * variable
        if rule.decay:
            self.assign_sub(variable, rate * rule.decay * variable)  # type: ignore[attr-defined]
        super().update_step(gradient, variable, rate)  # type: ignore[misc]


class SharedRate(LearningRateSchedule):
    """The rates of trainer.schedules: a table of one epoch's steps, which is filled anew before each."""

    def __init__(self, base: float, schedule: Schedule, phase: Phase, steps: int) -> None:
        super().__init__()
        self._base, self._schedule, self._phase, self._steps = base, schedule, phase, steps
        self._rates = tf.Variable(np.zeros(steps), trainable=False, dtype=keras.config.floatx())

    def begin(self, epoch: int, history: Sequence[EpochMetrics]) -> None:
        """Before an epoch, counted from 1 over the whole training."""
        first = self._phase.first
        place = (epoch - first + 1, self._phase.epochs, self._steps)
        self._rates.assign(self._base * epoch_shares(self._schedule, *place, history[first - 1 :]))

    def __call__(self, step: Any) -> Any:
        return tf.gather(self._rates, ops.convert_to_tensor(step) % self._steps)


def make_optimizer(recipe: Recipe, phase: Phase, steps: int, keys: Sequence[str]) -> Any:
    """Keras's class, or its canonical form; what the recipe leaves open is Keras's default.

    Args:
        keys: canonical keys of the variables the optimiser will be built with, in order.
    """
    spec, canonical = recipe.optimizer, recipe.arithmetic == "shared"
    named = spec.model_dump(exclude={"name", "learning_rate", "weight_decay"})
    options = {key: value for key, value in named.items() if value is not None}
    decay = (DECAY if spec.weight_decay is None else spec.weight_decay) if isinstance(spec, AdamW) else 0.0
    if isinstance(spec, Sgd):
        kind = CanonicalSgd if canonical else optimizers.SGD
    elif isinstance(spec, AdamW) and not canonical and all(phase.share(key) == 1.0 for key in keys):
        kind, decay = optimizers.AdamW, 0.0
        options |= {} if spec.weight_decay is None else {"weight_decay": spec.weight_decay}
    else:
        # Keras's AdamW decays at one rate for all; where layers have rates of their own, a rule of each variable does.
        kind = CanonicalAdam if canonical else optimizers.Adam
    rules = tuple(_rule(key, phase.share(key), recipe, decay) for key in keys)
    rate = _rate(recipe, phase, steps)
    if all(rule == Rule() for rule in rules):
        return kind(rate, **options)
    made = type(kind.__name__, (Ruled, kind), {})(rate, **options)
    made.rules = rules
    return made


def _rule(key: str, share: float, recipe: Recipe, decay: float) -> Rule:
    kernel = key.endswith("/kernel")
    # Keras's own AdamW spares no variable.
    decays = kernel or recipe.arithmetic == "framework"
    return Rule(share, recipe.l2 if kernel else 0.0, decay if decays else 0.0)


def _rate(recipe: Recipe, phase: Phase, steps: int) -> Any:
    """A number, Keras's schedule, or the shared one."""
    base = recipe.optimizer.learning_rate or RATES[recipe.optimizer.name]
    total = phase.epochs * steps
    if recipe.arithmetic == "shared" and not isinstance(recipe.schedule, Constant | None):
        return SharedRate(base, recipe.schedule, phase, steps)
    match recipe.schedule:
        case StepDecay(every=every, factor=factor):
            return ExponentialDecay(base, every * steps, factor, staircase=True)
        case Cosine(final=final):
            return CosineDecay(base, total, alpha=final)
        case Exponential(final=final):
            return ExponentialDecay(base, total, final)
        case OneCycle(first=first, final=final, rise=rise):
            # Keras has no such cycle; this is its own nearest: a straight warm-up before the cosine.
            up = round(rise * total)
            return CosineDecay(first * base, max(total - up, 1), final, warmup_target=base, warmup_steps=up)
        case None | Constant():
            return base
        case plateau:
            return SharedRate(base, plateau, phase, steps)


class HeadLoss(keras.losses.Loss):
    """The objective of each image, from scores, where Keras's sparse cross-entropy is not it."""

    def __init__(self, kind: str, smoothing: float, dtype: str) -> None:
        super().__init__(name="objective", dtype=dtype)
        self._kind, self._smoothing = kind, smoothing

    def call(self, y_true: Any, y_pred: Any) -> Any:
        classes = y_pred.shape[1]
        labels = ops.cast(ops.reshape(y_true, [-1]), "int32")
        targets = ops.one_hot(labels, classes, dtype=y_pred.dtype)
        targets = targets * (1.0 - self._smoothing) + self._smoothing / classes
        if self._kind == "cross_entropy":
            return ops.categorical_crossentropy(targets, y_pred, from_logits=True)
        return ops.mean(ops.square(ops.softmax(y_pred) - targets), axis=1)
