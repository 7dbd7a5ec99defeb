"""How a network is trained. Every default that differs between frameworks is a switch of its own."""

import itertools
from typing import Annotated, Any, Literal, get_args

import pydantic

from core.schemas.augmentation import Augmentation
from core.schemas.base import Schema, Sha256
from core.schemas.names import Framework
from core.schemas.schedule import Constant, EarlyStopping, Monitor, Schedule

Origin = Literal["shared", "framework"]
"""shared: the one definition all frameworks follow; framework: what that framework's documentation would give you."""


class _Moments(Schema):
    learning_rate: float | None = pydantic.Field(1e-3, gt=0)
    """None: the framework's default."""
    beta_1: float | None = pydantic.Field(0.9, ge=0, lt=1)
    beta_2: float | None = pydantic.Field(0.999, ge=0, lt=1)
    epsilon: float | None = pydantic.Field(1e-8, gt=0)


class Adam(_Moments):
    """Adam (Kingma and Ba 2015, algorithm 1: ε is added after bias correction when `arithmetic` is shared)."""

    name: Literal["adam"] = "adam"


class AdamW(_Moments):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019): w ← w − rate·decay·w before Adam's own step."""

    name: Literal["adamw"] = "adamw"
    weight_decay: float | None = pydantic.Field(0.01, ge=0)
    """Of kernels alone where `arithmetic` is shared; biases and batch norm are spared."""


class Sgd(Schema):
    """Stochastic gradient descent with heavy-ball momentum: v ← m·v + g; w ← w − rate·v."""

    name: Literal["sgd"] = "sgd"
    learning_rate: float | None = pydantic.Field(1e-2, gt=0)
    momentum: float | None = pydantic.Field(0.0, ge=0, lt=1)


Optimizer = Annotated[Adam | AdamW | Sgd, pydantic.Field(discriminator="name")]
OPTIMIZERS: dict[str, type[Schema]] = {
    one.model_fields["name"].default: one for one in get_args(get_args(Optimizer)[0])
}
SCHEDULES: dict[str, type[Schema]] = {one.model_fields["name"].default: one for one in get_args(get_args(Schedule)[0])}
"""By name, with the keys that each has."""


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
    "imagenet": torchvision's own file for the network from its cache, or by its sha256 what was converted from it."""
    head: Literal["replace", "keep"] = "replace"
    """replace: the last layer is the initialiser's, for classes of one's own; keep: it comes from the file too."""
    sha256: Sha256 | None = None
    """Of the file; what `bakeoff run` fills in, so that another file under the same path is another training. Not for
    torchvision's own files, whose names begin theirs."""


HEAD = "head"


class Frozen(Schema):
    """A stage of a training in which the first layers stay as they are."""

    until: str = pydantic.Field(min_length=1)
    """The first layer that is trained, as `bakeoff architectures NAME` lists it, or "head": the last one."""
    epochs: int = pydantic.Field(ge=1)


SHORT_FORMS = {"optimizer": "name", "schedule": "name", "pretrained": "weights"}
"""Keys of a recipe that may be a string alone, with the key that it stands for."""


def written_out(key: str, value: Any) -> Any:
    """The mapping that a string alone stands for; any other value as it is."""
    return {SHORT_FORMS[key]: value} if key in SHORT_FORMS and isinstance(value, str) else value


class Recipe(Schema):
    """One training, completely: nothing is left to a default that is not written here or named "framework"."""

    mode: Literal["matched", "idiomatic"]
    epochs: int = pydantic.Field(ge=1, le=10_000)
    batch_size: int | None = pydantic.Field(64, ge=1, le=65_536)
    """Null: the framework's own, OWN_BATCH_SIZE; not where `mode` is matched, which wants the same batches for all."""
    optimizer: Optimizer = Adam()
    batch_norm: BatchNormSpec = BatchNormSpec()
    initializer: Origin = "shared"
    """shared: the canonical initial weights."""
    pipeline: Origin = "shared"
    """shared: the same batches in the same order with the same dropout masks, the last partial batch included."""
    arithmetic: Origin = "shared"
    """shared: optimiser and BatchNorm arithmetic as defined in this file and in DESIGN; framework: its own classes."""
    workers: int | None = pydantic.Field(None, ge=0, le=64)
    """Processes in which PyTorch's or fastai's own loader decodes originals; Keras and TensorFlow do so in threads.
    Null: the framework's default, in PyTorch none, in fastai one for each thread up to 16."""
    normalization: Literal["unit", "standardize", "imagenet"] = "unit"
    """unit: pixel / 255; standardize: (pixel / 255 − mean) / std of the training split, per channel; imagenet: the same
    with ImageNet's figures. In the graph. `complete` writes imagenet where a recipe has `pretrained` and not this."""
    pretrained: Pretrained | None = None
    """Null: the initialiser alone."""
    augmentation: Augmentation = Augmentation()
    """Shared pipeline: the same pixels for every framework; framework: its own functions. Empty: none."""
    schedule: Schedule | None = Constant()
    """Null: what the framework's documentation would have you use (fastai: one cycle; the others: constant)."""
    l2: float = pydantic.Field(0.0, ge=0)
    """Coupled weight decay: l2·w is added to the gradient of every kernel, as if the loss had l2/2·Σw² in it. Reported
    losses are without it."""
    loss: Literal["cross_entropy", "mean_squared_error"] = "cross_entropy"
    """cross_entropy: −log of the probability of the label, whatever the head (sparse, binary, or of normalised
    sigmoids); mean_squared_error: mean over classes of (probability − target)²."""
    label_smoothing: float = pydantic.Field(0.0, ge=0, lt=1)
    """Targets are (1 − s) for the label plus s / classes for every class (Szegedy et al. 2016), in validation too."""
    class_weights: Literal["balanced"] | dict[str, Annotated[float, pydantic.Field(gt=0)]] | None = None
    """Factors of the images' losses in training, by class name, 1 where not named; balanced: images / (classes · images
    of the class). A batch's loss is divided by its number of images where `arithmetic` is shared."""
    sampler: Literal["shuffle", "weighted"] = "shuffle"
    """weighted: as many images an epoch as there are, drawn with replacement, every class equally likely."""
    freeze: tuple[Frozen, ...] = ()
    """Stages one after the other, each thawing more; then everything trains. Every stage is a training of its own: the
    optimiser's moments and the schedule start anew. Batch norm in fixed layers is computed as in inference where
    `arithmetic` is shared; dropout there drops on."""
    discriminative: float = pydantic.Field(1.0, ge=1)
    """Once everything trains: how much smaller the first layers' learning rate is than the last ones'. Groups are cut
    where the stages of `freeze` are, and where `head` is the only one a ResNet's body too, as by fastai; their rates
    are evenly spaced on a log scale."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of convolutions and matrix products in training and its validation. Weights, statistics of batch norm, loss and
    optimiser stay float32, and so does what is exported. The promises of `matched` are for float32."""
    early_stopping: EarlyStopping | None = None
    """Null: all epochs. It counts in the last stage alone: stages of `freeze` before it take the epochs they name."""
    keep_best: Monitor | None = None
    """Figure whose best epoch is exported; null: the last epoch."""

    @property
    def batch(self) -> int:
        """Images in a batch.

        Raises:
            ValueError: that is left to the framework; `for_framework` gives the recipe of one.
        """
        if self.batch_size is None:
            raise ValueError("batch_size is left to the framework: for_framework() says which it is")
        return self.batch_size

    @property
    def last_stage(self) -> int:
        """Epochs before the last stage of the training; 0 where nothing is frozen."""
        ends = list(itertools.accumulate(stage.epochs for stage in self.freeze))
        return max((end for end in ends if end < self.epochs), default=0)

    def for_framework(self, framework: Framework) -> "Recipe":
        """The same with the framework's own batch size where none is written, and no workers where it has none."""
        size = OWN_BATCH_SIZE[framework] if self.batch_size is None else self.batch_size
        workers = self.workers if framework in HAVE_WORKERS else None
        return self.model_copy(update={"batch_size": size, "workers": workers})

    @pydantic.model_validator(mode="after")
    def _nothing_left_open(self) -> "Recipe":
        if self.mode == "matched" and (left := self._left_to_frameworks()):
            raise ValueError(
                f"{left[0]} is null, which leaves it to each framework; mode matched needs one value for all: write "
                "one, or leave the key out for Bakeoff's default"
            )
        return self

    @pydantic.model_validator(mode="after")
    def _own_workers(self) -> "Recipe":
        if self.workers is not None and self.pipeline == "shared":
            raise ValueError(
                f"workers {self.workers} are of the frameworks' own loaders, and pipeline is shared; leave workers "
                "out, or write pipeline: framework"
            )
        return self

    def _left_to_frameworks(self) -> list[str]:
        """Keys whose null means the framework's own value."""
        parts = {"optimizer": self.optimizer, "batch_norm": self.batch_norm}
        return [name for name in ("batch_size", "schedule") if getattr(self, name) is None] + [
            f"{name}.{key}" for name, part in parts.items() for key, value in part if value is None
        ]

    @pydantic.field_validator("freeze", mode="before")
    @classmethod
    def _one_stage(cls, value: Any) -> Any:
        if isinstance(value, dict):
            return (value,)
        return () if value is None else value

    @pydantic.model_validator(mode="after")
    def _stages(self) -> "Recipe":
        frozen = sum(stage.epochs for stage in self.freeze)
        if frozen > self.epochs:
            raise ValueError(f"freeze takes {frozen} epochs, epochs are {self.epochs}")
        if self.discriminative > 1 and (not self.freeze or frozen == self.epochs):
            raise ValueError("discriminative goes with freeze, and with epochs left after it")
        return self

    @pydantic.model_validator(mode="after")
    def _one_decay(self) -> "Recipe":
        if self.l2 and isinstance(self.optimizer, AdamW):
            raise ValueError("l2 and adamw's weight_decay do the same in two ways; write l2: 0, or optimizer adam")
        return self

    @pydantic.field_validator(*SHORT_FORMS, mode="before")
    @classmethod
    def _written_out(cls, value: Any, info: pydantic.ValidationInfo) -> Any:
        return _named(value) if info.field_name == "optimizer" else written_out(str(info.field_name), value)


def _named(optimizer: Any) -> Any:
    """An optimiser written out; keys without a name are Adam's, as where there is no optimiser."""
    written = written_out("optimizer", optimizer)
    return {"name": "adam", **written} if isinstance(written, dict) else written


def _decided(recipe: Recipe, info: pydantic.ValidationInfo) -> Recipe:
    framework: Framework | None = info.data.get("framework")
    # None where `framework` is wrong itself, which is said then.
    return recipe.for_framework(framework) if framework else recipe


OneRecipe = Annotated[Recipe, pydantic.AfterValidator(_decided)]
"""The recipe of one training, in a schema whose `framework` comes before it: its batch size is decided."""

OWN_BATCH_SIZE: dict[Framework, int] = {"keras": 32, "tensorflow": 32, "pytorch": 64, "fastai": 64}
"""Keras: the default of `Model.fit` and of `image_dataset_from_directory`. TensorFlow: its tutorial "Load and
preprocess images". PyTorch: its quickstart; the default of `DataLoader` itself is 1, with which no tutorial trains.
fastai: the default of `DataLoaders`."""
HAVE_WORKERS: tuple[Framework, ...] = ("pytorch", "fastai")
"""Whose loaders can decode in processes of their own."""
IDIOMATIC: dict[str, Any] = {
    "batch_size": None,
    "initializer": "framework",
    "pipeline": "framework",
    "arithmetic": "framework",
    "batch_norm": {"momentum": None, "epsilon": None},
    "schedule": None,
}
IDIOMATIC_OPTIMIZER: dict[str, dict[str, Any]] = {
    "adam": {"learning_rate": None, "beta_1": None, "beta_2": None, "epsilon": None},
    "adamw": {"learning_rate": None, "beta_1": None, "beta_2": None, "epsilon": None, "weight_decay": None},
    "sgd": {"learning_rate": None, "momentum": None},
}


def _of_weights(given: dict[str, Any]) -> dict[str, Any]:
    """What goes with pretrained weights in both modes: pixels as they were trained on, as fastai's vision_learner adds
    ImageNet's Normalize by itself. Of a file nothing but its tensors' names is known, and those are torchvision's."""
    return {"normalization": "imagenet"} if given.get("pretrained") else {}


def complete(mode: str, given: dict[str, Any]) -> dict[str, Any]:
    """The recipe a mode and the keys somebody wrote stand for; what was written wins over the mode's defaults."""
    given = {**_of_weights(given), **given}
    if mode != "idiomatic":
        return {"mode": mode, **given}
    optimizer = _named(given.get("optimizer") or {})
    if not isinstance(optimizer, dict):
        return {"mode": mode, **IDIOMATIC, **given}
    defaults = IDIOMATIC_OPTIMIZER.get(str(optimizer["name"]), {})
    # ε belongs to the weights: with another one the same numbers are another function.
    norm = {**IDIOMATIC["batch_norm"], **({"epsilon": IMAGENET_EPSILON} if given.get("pretrained") else {})}
    written = given.get("batch_norm", {})
    if isinstance(written, dict):
        written = {**norm, **written}
    return {"mode": mode, **IDIOMATIC, **given, "batch_norm": written, "optimizer": {**defaults, **optimizer}}
