"""How a network is trained. Every default that differs between frameworks is a switch of its own."""

from typing import Annotated, Any, Literal

import pydantic

from core.schemas.base import Schema

Origin = Literal["shared", "framework"]
"""shared: the one definition all frameworks follow; framework: what that framework's documentation would give you."""


class Adam(Schema):
    """Adam (Kingma and Ba 2015, algorithm 1: ε is added after bias correction when `arithmetic` is shared)."""

    name: Literal["adam"] = "adam"
    learning_rate: float | None = pydantic.Field(1e-3, gt=0)
    """None: the framework's default."""
    beta_1: float | None = pydantic.Field(0.9, ge=0, lt=1)
    beta_2: float | None = pydantic.Field(0.999, ge=0, lt=1)
    epsilon: float | None = pydantic.Field(1e-8, gt=0)


class Sgd(Schema):
    """Stochastic gradient descent with heavy-ball momentum: v ← m·v + g; w ← w − lr·v."""

    name: Literal["sgd"] = "sgd"
    learning_rate: float | None = pydantic.Field(1e-2, gt=0)
    momentum: float | None = pydantic.Field(0.0, ge=0, lt=1)


Optimizer = Annotated[Adam | Sgd, pydantic.Field(discriminator="name")]


class BatchNormSpec(Schema):
    """running ← momentum·running + (1 − momentum)·batch. None: the framework's default."""

    momentum: float | None = pydantic.Field(0.9, ge=0, lt=1)
    epsilon: float | None = pydantic.Field(1e-5, gt=0)


class Recipe(Schema):
    """One training, completely: nothing is left to a default that is not written here or named "framework"."""

    mode: Literal["matched", "idiomatic"]
    epochs: int = pydantic.Field(ge=1, le=10_000)
    batch_size: int = pydantic.Field(64, ge=1, le=65_536)
    optimizer: Optimizer = Adam()
    batch_norm: BatchNormSpec = BatchNormSpec()
    initializer: Origin = "shared"
    """shared: the canonical initial weights."""
    pipeline: Origin = "shared"
    """shared: the same batches in the same order with the same dropout masks, the last partial batch included."""
    arithmetic: Origin = "shared"
    """shared: optimiser and BatchNorm arithmetic as defined in this file and in DESIGN; framework: its own classes."""
    normalization: Literal["unit", "standardize"] = "unit"
    """unit: pixel / 255; standardize: (pixel / 255 − mean) / std of the training split, per channel. In the graph."""


IDIOMATIC: dict[str, Any] = {
    "initializer": "framework",
    "pipeline": "framework",
    "arithmetic": "framework",
    "batch_norm": {"momentum": None, "epsilon": None},
}
IDIOMATIC_OPTIMIZER: dict[str, dict[str, Any]] = {
    "adam": {"learning_rate": None, "beta_1": None, "beta_2": None, "epsilon": None},
    "sgd": {"learning_rate": None, "momentum": None},
}


def complete(mode: str, given: dict[str, Any]) -> dict[str, Any]:
    """The recipe a mode and the keys somebody wrote stand for; what was written wins over the mode's defaults."""
    if mode != "idiomatic":
        return {"mode": mode, **given}
    chosen = given.get("optimizer") or {"name": "adam"}
    if not isinstance(chosen, dict):
        return {"mode": mode, **IDIOMATIC, **given}
    optimizer = dict(chosen)
    defaults = IDIOMATIC_OPTIMIZER.get(str(optimizer.get("name", "adam")), {})
    return {"mode": mode, **IDIOMATIC, **given, "optimizer": {**defaults, "name": "adam", **optimizer}}
