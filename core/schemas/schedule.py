"""How the learning rate moves while a network is trained, and which figure decides whether it still gets better.

Rates are shares of the optimiser's learning rate. With `t` the steps already taken of `T` in all; `trainer.schedules`
holds the formulas.
"""

from typing import Annotated, Literal

import pydantic

from core.schemas.base import Schema

Monitor = Literal["validation_loss", "validation_accuracy", "train_loss", "train_accuracy"]
"""A figure of an epoch: losses fall when things get better, accuracies rise."""


class Constant(Schema):
    """The learning rate as it is."""

    name: Literal["constant"] = "constant"


class StepDecay(Schema):
    """factor^⌊epochs done / every⌋."""

    name: Literal["step"] = "step"
    every: int = pydantic.Field(10, ge=1)
    """Epochs between two reductions."""
    factor: float = pydantic.Field(0.1, gt=0, le=1)


class Cosine(Schema):
    """Half a cosine from 1 to `final` (Loshchilov and Hutter 2017, without restarts), a step at a time."""

    name: Literal["cosine"] = "cosine"
    final: float = pydantic.Field(0.0, ge=0, le=1)


class Exponential(Schema):
    """final^(t / T), a step at a time."""

    name: Literal["exponential"] = "exponential"
    final: float = pydantic.Field(0.01, gt=0)


class OneCycle(Schema):
    """Half a cosine from `first` up to 1 and another down to `final` (Smith 2018; shape and figures as in fastai)."""

    name: Literal["one-cycle"] = "one-cycle"
    first: float = pydantic.Field(0.04, gt=0, le=1)
    final: float = pydantic.Field(1e-5, ge=0, le=1)
    rise: float = pydantic.Field(0.25, gt=0, lt=1)
    """Share of the steps on the way up."""


class Plateau(Schema):
    """Multiplied by `factor` whenever `patience` epochs in a row brought nothing better by more than `min_delta`."""

    name: Literal["plateau"] = "plateau"
    monitor: Monitor = "validation_loss"
    factor: float = pydantic.Field(0.1, gt=0, lt=1)
    patience: int = pydantic.Field(5, ge=1)
    min_delta: float = pydantic.Field(1e-4, ge=0)


Schedule = Annotated[
    Constant | StepDecay | Cosine | Exponential | OneCycle | Plateau, pydantic.Field(discriminator="name")
]


class EarlyStopping(Schema):
    """Ends a training after `patience` epochs in a row that brought nothing better by more than `min_delta`."""

    monitor: Monitor = "validation_loss"
    patience: int = pydantic.Field(5, ge=1)
    min_delta: float = pydantic.Field(0.0, ge=0)
