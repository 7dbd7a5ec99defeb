"""How a network is trained. Every default that differs between frameworks is a switch of its own."""

from typing import Annotated, Any, Literal

import pydantic

from core.schemas.augmentation import Augmentation
from core.schemas.base import Schema, Sha256

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


IMAGENET = "imagenet"
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of pixels / 255, red, green, blue: what torchvision's ImageNet weights were trained with."""
IMAGENET_EPSILON = 1e-5


class Pretrained(Schema):
    """Weights a training starts from, in place of the initialiser's."""

    weights: str = pydantic.Field(min_length=1)
    """A .safetensors or .pth file with torchvision's names, absolute or relative to where the trainer service runs; or
    "imagenet": torchvision's own file for the network, from its cache."""
    head: Literal["replace", "keep"] = "replace"
    """replace: the last layer is the initialiser's, for classes of one's own; keep: it comes from the file too."""
    sha256: Sha256 | None = None
    """Of the file; what `bakeoff run` fills in, so that another file under the same path is another training."""


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
    normalization: Literal["unit", "standardize", "imagenet"] = "unit"
    """unit: pixel / 255; standardize: (pixel / 255 − mean) / std of the training split, per channel; imagenet: the same
    with ImageNet's figures. In the graph."""
    pretrained: Pretrained | None = None
    """Null: the initialiser alone."""
    augmentation: Augmentation = Augmentation()
    """Shared pipeline: the same pixels for every framework; framework: its own functions. Empty: none."""

    @pydantic.field_validator("pretrained", mode="before")
    @classmethod
    def _weights_alone(cls, value: Any) -> Any:
        return {"weights": value} if isinstance(value, str) else value


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
    # ε belongs to the weights: with another one the same numbers are another function.
    norm = {"batch_norm": {"momentum": None, "epsilon": IMAGENET_EPSILON}} if given.get("pretrained") else {}
    return {"mode": mode, **IDIOMATIC, **norm, **given, "optimizer": {**defaults, "name": "adam", **optimizer}}
