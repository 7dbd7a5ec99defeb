"""One training from prepared data to fitted model, with checkpoints and timings."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from core.epochs import best_epoch, exported_epoch
from core.errors import InvalidInputError
from core.prepared import PreparedData
from core.recipe_fit import check_normalization
from core.runtimes.devices import Device
from core.schemas.data import PreparedManifest
from core.schemas.metrics import EpochMetrics
from core.schemas.recipe import IMAGENET_MEAN, IMAGENET_STD
from core.schemas.specs import FindRateSpec, TrainSpec
from core.worker import WORK, RunFolder
from trainer import checkpoint, samples, weight_files
from trainer.architectures import get_architecture
from trainer.divergence import Divergence
from trainer.framework import BuildSettings, Framework, Model, State, TrainingData
from trainer.layers import Architecture
from trainer.objective import class_weights
from trainer.originals import Originals, check_originals, open_originals
from trainer.phases import phases
from trainer.schedules import stops
from trainer.weights import Weights, initial_weights

CHECKPOINT_EVERY_S = 1.0
"""Shorter epochs are not all worth a file; the last one always is."""


@dataclass
class Stopwatch:
    """Wall seconds by phase."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Adds the block's time to a phase."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.add(name, time.perf_counter() - start)

    def add(self, name: str, seconds: float) -> None:
        self.seconds[name] = self.seconds.get(name, 0.0) + seconds


class TrainingCallbacks:
    """Progress, checkpoints, early stopping, the best epoch and the watch for divergence, for `Framework.fit`."""

    def __init__(
        self, run: RunFolder, spec: TrainSpec, folder: Path, weights: Callable[[], Weights], classes: int
    ) -> None:
        recipe = spec.recipe
        self._origin = f"{spec.architecture} with {spec.framework}, {recipe.optimizer.name}, {recipe.mode}"
        found = checkpoint.load(folder, self._origin)
        self.resume: State | None = found.state if found else None
        self.resume_epoch = found.epoch if found else 0
        self.history: list[EpochMetrics] = list(found.history) if found else []
        self.each_step: Callable[[float], None] | None = None
        self.best: Weights | None = found.best if found else None
        """Weights of the best epoch so far, where the recipe asks for them."""
        self._run, self._spec, self._folder, self._weights = run, spec, folder, weights
        rate = recipe.optimizer.learning_rate or f"the default of {spec.framework}"
        advice = f"lower recipe.optimizer.learning_rate (now {rate})"
        self._divergence = Divergence(classes, advice, found.first_loss if found else None)
        self._saved = time.monotonic()

    @property
    def stopped(self) -> bool:
        """Whether no more epochs are wanted; follows from the history, so that it survives a resumption."""
        recipe = self._spec.recipe
        # An optimum of the head alone says nothing of what the rest will learn once it may.
        return len(self.history) >= recipe.epochs or stops(recipe.early_stopping, self.history[recipe.last_stage :])

    def step(self, epoch: int, done: int, total: int, loss: float | None) -> None:
        """Reports progress. Raises CancelledError on request and DivergedError for a loss that is not finite."""
        if loss is not None:
            self._divergence.step(epoch, done, total, loss)
        epochs = self._spec.recipe.epochs
        values = {"epoch": float(epoch)} | ({"loss": loss} if loss is not None else {})
        self._run.progress("train", (epoch - 1) * total + done, epochs * total, "steps", **values)

    def epoch(self, metrics: EpochMetrics, state: Callable[[], State]) -> None:
        """Keeps the metrics and, once in a while, a checkpoint. Raises DivergedError."""
        self._divergence.epoch(metrics, self._weights)
        self.history.append(metrics)
        keep = self._spec.recipe.keep_best
        if keep is not None and best_epoch(keep, self.history) == metrics.epoch:
            self.best = self._weights()
        if self.stopped or time.monotonic() - self._saved >= CHECKPOINT_EVERY_S:
            first = self._divergence.first
            checkpoint.save(self._folder, self._origin, self.history, state(), self.best, first)
            self._saved = time.monotonic()
        values = metrics.model_dump(exclude={"train_seconds", "validation_seconds", "data_seconds", "train_images"})
        self._run.progress("train", metrics.epoch, self._spec.recipe.epochs, "epochs", **values)


@dataclass(frozen=True)
class Machine:
    """What a training may use: infrastructure, not science."""

    threads: int
    device: Device = "cpu"


@dataclass(frozen=True)
class Trained:
    """A fitted model and what it took."""

    model: Model
    architecture: Architecture
    settings: BuildSettings
    history: tuple[EpochMetrics, ...]

    @property
    def exported(self) -> EpochMetrics:
        """Of the epoch whose weights the model has."""
        return self.history[exported_epoch(self.settings.recipe, self.history) - 1]


def train(
    framework: Framework, spec: TrainSpec, data: PreparedData, run: RunFolder, watch: Stopwatch, machine: Machine
) -> Trained:
    """Builds and fits a network, going on from the run's checkpoint where there is one."""
    manifest = data.manifest
    with watch.phase("data"):
        training = TrainingData(
            data.split("train"), data.split("validation"), manifest.classes, originals(spec, data, run)
        )
    architecture = get_architecture(spec.architecture, manifest.spec.image.shape, len(manifest.classes))
    settings = build_settings(spec, data, machine)
    with watch.phase("build"):
        model = framework.build(architecture, starting_weights(framework, architecture, settings), settings)
    if (shown := samples.picture(framework, model, training, spec.recipe, spec.seed)) is not None:
        shown.save(extras_folder(run) / samples.FILE, optimize=True)
    folder = run.path / "checkpoints"
    callbacks = TrainingCallbacks(run, spec, folder, lambda: framework.weights(model), len(manifest.classes))
    framework.fit(model, training, spec.recipe, callbacks)
    if callbacks.best is not None:
        framework.assign(model, callbacks.best)
    waited = sum(metrics.data_seconds or 0.0 for metrics in callbacks.history)
    watch.add("data", waited)
    watch.add("train", sum(metrics.train_seconds for metrics in callbacks.history) - waited)
    watch.add("validate", sum(metrics.validation_seconds for metrics in callbacks.history))
    return Trained(model, architecture, settings, tuple(callbacks.history))


def extras_folder(run: RunFolder) -> Path:
    """Files that become part of the result object."""
    folder = run.path / "extras"
    folder.mkdir(exist_ok=True)
    return folder


def originals(spec: TrainSpec | FindRateSpec, data: PreparedData, run: RunFolder) -> dict[str, Originals] | None:
    """What the framework's own pipeline reads, by split; None: the arrays."""
    if spec.originals is None or spec.recipe.pipeline == "shared":
        return None
    tick = partial(run.progress, "data", 0, 1, "loaders")
    return open_originals(spec.originals, data, run.path / WORK, tick)


def starting_weights(framework: Framework, architecture: Architecture, settings: BuildSettings) -> Weights | None:
    """The weights a training starts from; None: what the framework's own initialisers give.

    Raises:
        NotFoundError: pretrained weights are not where the recipe says.
        InvalidInputError: they are damaged or another network's.
    """
    recipe = settings.recipe
    shared = initial_weights(architecture, settings.seed) if recipe.initializer == "shared" else None
    if recipe.pretrained is None:
        return shared
    given = weight_files.load(recipe.pretrained, architecture)
    # Only the new last layer is left of these.
    fresh = shared or framework.weights(framework.build(architecture, None, settings))
    return {**fresh, **given}


def build_settings(spec: TrainSpec | FindRateSpec, data: PreparedData, machine: Machine) -> BuildSettings:
    """Settings of a model for prepared data: normalisation by the recipe, per channel."""
    channels = data.manifest.spec.image.channels
    # A channel that never varies would be divided by zero; it carries nothing either way.
    scales = {
        "unit": ((0.0,) * channels, (1.0,) * channels),
        "standardize": (data.manifest.mean, tuple(value or 1.0 for value in data.manifest.std)),
        "imagenet": (IMAGENET_MEAN, IMAGENET_STD),
    }
    mean, std = scales[spec.recipe.normalization]
    return BuildSettings(spec.recipe, spec.seed, mean, std, threads=machine.threads, device=machine.device)


def check_training(spec: TrainSpec | FindRateSpec, manifest: PreparedManifest) -> None:
    """What can be known to be wrong before a training starts.

    Raises:
        InvalidInputError, NotFoundError: network, recipe, data and weights do not go together; says which and why.
        WrongStateError: the original images are missing or changed.
    """
    recipe, image = spec.recipe, manifest.spec.image
    architecture = get_architecture(spec.architecture, image.shape, len(manifest.classes))
    check_normalization(recipe, image)
    _refuse_darkness(spec)
    images = manifest.images("train")
    if architecture.single_norms and _last_batch(spec, images) == 1:
        raise InvalidInputError(
            f"the last of {images} training images would be a batch of one, of which {spec.architecture}'s "
            f"{architecture.single_norms[0].path} cannot compute a variance; choose a recipe.batch_size other than "
            f"{recipe.batch}"
        )
    class_weights(recipe.class_weights, {name: manifest.counts["train"].get(name, 0) for name in manifest.classes})
    phases(recipe, architecture)
    if spec.originals is not None and recipe.pipeline == "framework":
        check_originals(spec.originals)
    if recipe.pretrained is not None:
        weight_files.check(recipe.pretrained, architecture)


def _last_batch(spec: TrainSpec | FindRateSpec, images: int) -> int:
    """Images in an epoch's last batch. A search for a rate has whole batches alone, and so has fastai's own loader."""
    whole = isinstance(spec, FindRateSpec) or (spec.framework == "fastai" and spec.recipe.pipeline == "framework")
    rest = images % spec.recipe.batch
    return rest if rest and not (whole and images > rest) else min(images, spec.recipe.batch)


def _refuse_darkness(spec: TrainSpec | FindRateSpec) -> None:
    """fastai draws a contrast with the brightness, from log(1 − brightness) on."""
    own = spec.framework == "fastai" and spec.recipe.pipeline == "framework"
    if own and spec.recipe.augmentation.brightness == 1:
        raise InvalidInputError(
            "recipe.augmentation.brightness 1 is no figure for fastai's own pipeline, which takes the logarithm of "
            "1 − brightness; write less than 1, or train this arm with pipeline: shared"
        )
