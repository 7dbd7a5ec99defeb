"""The interface every framework file implements, numpy only, and the registry that selects one.

A framework file is a module with a class of these methods and `FRAMEWORK = ThatClass()`. It is imported only here, when
asked for. Adding one: docs/adding-a-framework.md.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from core.errors import MissingExtraError, NotFoundError, WrongStateError
from core.prepared import Split
from core.runtimes.devices import Device, Wanted
from core.schemas.metrics import EpochMetrics
from core.schemas.recipe import Recipe
from trainer.batches import Batch
from trainer.layers import Architecture
from trainer.objective import Objective, objective
from trainer.originals import Originals
from trainer.weights import Weights

Model = Any
"""Whatever the framework builds; opaque to everybody else."""

State = dict[str, NDArray[Any]]
"""All a training needs to continue after an epoch, weights and optimiser, as arrays; opaque to everybody else."""


@dataclass(frozen=True)
class BuildSettings:
    """What a model needs to know beyond its architecture."""

    recipe: Recipe
    seed: int
    mean: tuple[float, ...]
    """Per channel, subtracted from pixel / 255 inside the model."""
    std: tuple[float, ...]
    """Per channel, divided by after the mean; all ones for plain scaling."""
    dtype: Literal["float32", "float64"] = "float32"
    threads: int = 1
    device: Device = "cpu"


@dataclass(frozen=True)
class TrainingData:
    """What a model is fitted to. `train` and `validation` are prepared uint8 arrays."""

    train: Split
    validation: Split
    classes: tuple[str, ...]
    originals: dict[str, Originals] | None = None
    """What the framework's own pipeline reads instead, by split; None: the arrays."""

    def original(self, split: str) -> Originals | None:
        """The originals of a split, where there are any."""
        return self.originals[split] if self.originals else None

    def objective(self, recipe: Recipe) -> Objective:
        """What a training on this data minimises."""
        return objective(recipe, self.classes, self.train.labels)


class Callbacks(Protocol):
    """How fit talks to whoever runs it."""

    resume: State | None
    """State after `resume_epoch` epochs to continue from; a `fit` that took it may set it to None, to free it."""
    resume_epoch: int
    """Epochs already done; 0 starts afresh."""
    each_step: Callable[[float], None] | None
    """Called with every training step's own loss, where somebody wants them. It may raise to end the training."""

    @property
    def history(self) -> Sequence[EpochMetrics]:
        """The epochs done so far, those before a resumption included; grows with `epoch`."""

    @property
    def stopped(self) -> bool:
        """Whether no more epochs are wanted; asked before the first epoch and after each."""

    def step(self, epoch: int, done: int, total: int, loss: float | None) -> None:
        """After some steps of an epoch, a training's very first among them. Raises CancelledError, DivergedError.

        Args:
            loss: mean of the epoch so far, or a step's own that is not finite, at once. None: in validation.
        """

    def epoch(self, metrics: EpochMetrics, state: Callable[[], State]) -> None:
        """After each epoch; `state` is called when a checkpoint is wanted. Raises DivergedError."""


@dataclass(frozen=True)
class Inspection:
    """What a model computes for one batch in training mode, for the proof that networks are the same."""

    logits: NDArray[np.floating]
    loss: float
    gradients: Weights
    """By canonical key, trainable parameters only."""
    parameters: int
    """By the framework's own count, BatchNorm statistics included."""
    trainable_parameters: int


class Framework(Protocol):
    """One framework. All arrays are numpy; images are uint8 [n, height, width, channels]."""

    name: str
    formats: tuple[str, ...]
    """Loadable formats it exports, keys of core.formats.FORMATS."""

    def has_cuda(self) -> bool:
        """Whether this installation can compute on a CUDA GPU of this machine."""

    def build(self, architecture: Architecture, weights: Weights | None, settings: BuildSettings) -> Model:
        """Compiles a network. `weights` None: the framework's own initialisers, seeded with settings.seed."""

    def weights(self, model: Model) -> Weights:
        """Canonical weights of a model, BatchNorm statistics included, in the model's dtype."""

    def assign(self, model: Model, weights: Weights) -> None:
        """Puts canonical weights into a model. Raises InvalidInputError when they belong to another architecture."""

    def fit(self, model: Model, data: TrainingData, recipe: Recipe, callbacks: Callbacks) -> None:
        """Trains in place. With recipe.pipeline shared, on trainer.batches.matched_batches keyed by settings.seed."""

    def first_batch(
        self, model: Model, data: TrainingData, recipe: Recipe
    ) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """A training batch of the framework's own pipeline, augmented: images [n, height, width, channels], labels."""

    def predict(self, model: Model, images: NDArray[np.uint8]) -> NDArray[np.floating]:
        """Probabilities [n, classes] in inference mode, in batches of at most 256, in the model's dtype."""

    def export(self, model: Model, format_name: str, directory: Path) -> None:
        """Writes the format's file or folder (core.formats) into `directory`; uint8 in, probabilities out."""

    def extras(self, model: Model, directory: Path) -> None:
        """Writes what no runtime loads but the framework's users want (fastai: learner.pkl), if anything."""

    def inspect(self, model: Model, batch: Batch) -> Inspection:
        """Logits, loss and gradients of one batch in training mode, without changing the model's weights."""


def choose_device(framework: Framework, wanted: Wanted) -> Device:
    """The device of a training; auto takes the GPU where there is one.

    Raises:
        WrongStateError: cuda is wanted and not to be had.
    """
    if wanted == "cpu":
        return "cpu"
    if framework.has_cuda():
        return "cuda"
    if wanted == "auto":
        return "cpu"
    raise WrongStateError(
        f"{framework.name} finds no CUDA GPU here (driver, or a build of the library without CUDA); set "
        "BAKEOFF_TRAINER_DEVICE to auto or cpu"
    )


MODULES = {
    "keras": "trainer.frameworks.keras",
    "tensorflow": "trainer.frameworks.tensorflow",
    "pytorch": "trainer.frameworks.pytorch",
    "fastai": "trainer.frameworks.fastai",
}


LIBRARIES = {
    "keras": ("keras", "tensorflow"),
    "tensorflow": ("tensorflow",),
    "pytorch": ("torch",),
    "fastai": ("torch", "fastai"),
}
"""Framework to what its module imports."""


def check_installed(name: str) -> None:
    """Looks for a framework's libraries without importing them. Raises MissingExtraError as `get_framework` would."""
    for library in LIBRARIES[name]:
        if find_spec(library) is None:
            raise MissingExtraError(f"{name} ({library})", name)


def get_framework(name: str) -> Framework:
    """Imports and returns a framework.

    Raises:
        NotFoundError: unknown name, the known ones listed.
        MissingExtraError: its library is not installed; says which extra to install.
    """
    if name not in MODULES:
        raise NotFoundError(f"unknown framework {name!r}; known: {', '.join(MODULES)}")
    try:
        framework: Framework = import_module(MODULES[name]).FRAMEWORK
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"{name} ({error.name})", name) from error
    return framework
