"""Looks for a learning rate: a short training whose rate grows from step to step (Smith 2017), as fastai's lr_find."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from core.errors import InvalidInputError
from core.prepared import PreparedData, Split
from core.schemas.metrics import EpochMetrics
from core.schemas.recipe import Frozen, Recipe
from core.schemas.schedule import Exponential
from core.schemas.specs import FindRateSpec
from core.worker import RunFolder
from trainer.architectures import get_architecture
from trainer.batches import steps_per_epoch
from trainer.framework import Framework, State, TrainingData
from trainer.originals import Originals
from trainer.random import generator
from trainer.training import Machine, build_settings, originals, starting_weights

MEMORY, LIMIT = 0.98, 4.0
"""fastai's: share the smoothed loss keeps from step to step, and how often the best loss it may reach."""
WARM_UP, CUT = 0.1, 5
"""Share of the steps that is too early to judge, and the last ones, in which the loss already explodes."""
FEWEST = 5
"""Smoothed losses that are needed for a suggestion."""


@dataclass(frozen=True)
class Found:
    """Rates tried, their losses, and the rates suggested."""

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    smoothed: tuple[float, ...]
    valley: float
    steep: float
    diverged: bool


class Enough(Exception):  # noqa: N818  it ends a training, nothing went wrong
    """All steps are taken, or the loss explodes."""


class Recorder:
    """Callbacks that keep every step's loss and end the training in time."""

    resume: State | None = None
    resume_epoch = 0
    stopped = False

    def __init__(self, steps: int, progress: Callable[[int, float], None]) -> None:
        self.losses: list[float] = []
        self.smoothed: list[float] = []
        self.diverged = False
        self.each_step: Callable[[float], None] | None = self._record
        self.history: Sequence[EpochMetrics] = ()
        self._steps, self._progress, self._average = steps, progress, 0.0

    def _record(self, loss: float) -> None:
        self._average = MEMORY * self._average + (1.0 - MEMORY) * loss
        smooth = self._average / (1.0 - MEMORY ** (len(self.losses) + 1))
        if not isfinite(smooth) or smooth > LIMIT * min(self.smoothed, default=smooth):
            self.diverged = True
            raise Enough
        self.losses.append(float(loss))
        self.smoothed.append(float(smooth))
        self._progress(len(self.losses), float(loss))
        if len(self.losses) == self._steps:
            raise Enough

    def step(self, epoch: int, done: int, total: int, loss: float | None) -> None:
        """Nothing: `each_step` has heard of it."""

    def epoch(self, metrics: EpochMetrics, state: Callable[[], State]) -> None:
        """Nothing: the training goes on."""


def find(framework: Framework, spec: FindRateSpec, data: PreparedData, run: RunFolder, machine: Machine) -> Found:
    """Trains and suggests a rate.

    Raises:
        InvalidInputError: the loss exploded before there was anything to see.
    """
    manifest = data.manifest
    architecture = get_architecture(spec.architecture, manifest.spec.image.shape, len(manifest.classes))
    training = few(spec, data, originals(spec, data, run))
    recipe, rates = ramp(spec, steps_per_epoch(len(training.train), spec.recipe.batch))
    settings = build_settings(spec.model_copy(update={"recipe": recipe}), data, machine)
    model = framework.build(architecture, starting_weights(framework, architecture, settings), settings)
    recorder = Recorder(
        spec.steps,
        lambda done, loss: run.progress("search", done, spec.steps, "steps", loss=loss, rate=float(rates[done - 1])),
    )
    with suppress(Enough):
        framework.fit(model, training, recipe, recorder)
    taken = rates[: len(recorder.losses)]
    smoothed = np.array(recorder.smoothed)
    valley, steep = suggest(taken, smoothed, spec)
    return Found(
        tuple(taken.tolist()), tuple(recorder.losses), tuple(recorder.smoothed), valley, steep, recorder.diverged
    )


def few(spec: FindRateSpec, data: PreparedData, found: dict[str, Originals] | None) -> TrainingData:
    """What a search trains on: no more images than its steps take, and one for validation, which nobody looks at.

    Args:
        found: the originals of both splits, where the framework's own pipeline reads them.
    """
    whole = {name: data.split(name) for name in ("train", "validation")}
    wanted = whole_batches(min(len(whole["train"]), spec.steps * spec.recipe.batch), spec.recipe.batch)
    rows = {"train": part(len(whole["train"]), wanted, spec.seed), "validation": np.arange(1)}
    train, validation = (_chosen(split, rows[name]) for name, split in whole.items())
    chosen = found and {name: one.select(rows[name].tolist(), "lr-find") for name, one in found.items()}
    return TrainingData(train, validation, data.manifest.classes, chosen)


def whole_batches(images: int, batch: int) -> int:
    """How many of so many images fill whole batches; all of them where they do not fill one.

    The ramp counts the steps of an epoch, and fastai's own loader drops a partial batch that the others have.
    """
    return images - images % batch if images > batch else images


def part(images: int, wanted: int, seed: int) -> NDArray[np.int64]:
    """Rows of at most so many images of a split, drawn at random, in order: no search is longer than its steps."""
    return np.sort(generator(seed, "lr-find").permutation(images)[:wanted])


def _chosen(split: Split, rows: NDArray[np.int64]) -> Split:
    """The rows of a split; all of them without reading it into memory."""
    return split if len(rows) == len(split) else Split(split.images[rows], split.labels[rows])


def ramp(spec: FindRateSpec, steps_an_epoch: int) -> tuple[Recipe, NDArray[np.float64]]:
    """The recipe that tries the rates, and the rates [steps], evenly spaced on a log scale."""
    epochs = -(-spec.steps // steps_an_epoch)
    total = epochs * steps_an_epoch
    final = (spec.highest / spec.lowest) ** (total / (spec.steps - 1))
    given = spec.recipe
    # Frozen layers stay frozen: the rate is for what learns first.
    freeze = tuple(Frozen(until=stage.until, epochs=epochs) for stage in given.freeze[:1])
    recipe = given.model_copy(
        update={
            "epochs": epochs,
            "optimizer": given.optimizer.model_copy(update={"learning_rate": spec.lowest}),
            "schedule": Exponential(final=final),
            "freeze": freeze,
            "discriminative": 1.0,
            "early_stopping": None,
            "keep_best": None,
        }
    )
    return recipe, spec.lowest * final ** (np.arange(spec.steps) / total)


def suggest(rates: NDArray[np.float64], smoothed: NDArray[np.float64], spec: FindRateSpec) -> tuple[float, float]:
    """Valley and steepest fall of the smoothed losses [steps taken]."""
    start = int(spec.steps * WARM_UP)
    seen, losses = rates[start:-CUT], smoothed[start:-CUT]
    if len(losses) < FEWEST:
        last = rates[-1] if len(rates) else spec.lowest
        raise InvalidInputError(
            f"the loss left all bounds after {len(rates)} steps, at rate {last:.2g}; begin at a lower rate or take "
            "more steps"
        )
    return float(seen[valley(losses)]), float(seen[steepest(seen, losses)])


def valley(losses: NDArray[np.float64]) -> int:
    """Index half way down the longest fall: the longest decreasing subsequence, by places, not by losses.

    As in fastai, a fall starts one place before its first loss, which is -1 where that is the very first.
    """
    length = np.ones(len(losses), np.int64)
    for index in range(1, len(losses)):
        higher = losses[:index] > losses[index]
        if higher.any():
            length[index] = length[:index][higher].max() + 1
    end = int(length.argmax())
    start = end - int(length[end])
    third = (end - start) / 3
    return max(start + int(third) + int(third / 2), 0)


def steepest(rates: NDArray[np.float64], losses: NDArray[np.float64]) -> int:
    """Index where the loss falls fastest over the logarithm of the rate."""
    return int((np.diff(losses) / np.diff(np.log(rates))).argmin())
