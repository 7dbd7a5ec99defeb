"""What both torch trainings need: loss, running means, optimisers, checkpoints."""

import io
import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from core.schemas.recipe import Adam, Recipe, Sgd
from core.schemas.results import EpochMetrics
from trainer.ahead import Waits
from trainer.framework import Callbacks, State
from trainer.frameworks._torch_network import head_scores
from trainer.layers import Head

REPORT_SECONDS = 0.2
STATE_KEY = "torch"


class HeadLoss(nn.Module):
    """Mean over the batch of −log p(label), from logits; with the two methods that fastai asks of a loss."""

    def __init__(self, head: Head) -> None:
        super().__init__()
        self.head: Head = head

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        return functional.cross_entropy(head_scores(self.head, logits), labels)

    def activation(self, logits: Tensor) -> Tensor:
        """Probabilities [n, classes]."""
        return functional.softmax(head_scores(self.head, logits), dim=1)

    def decodes(self, probabilities: Tensor) -> Tensor:
        """Class indices [n]."""
        return probabilities.argmax(dim=1)


class Means:
    """Running means of loss and accuracy over the images of a pass, and its time."""

    def __init__(self) -> None:
        self._loss = 0.0
        self._correct = 0
        self._images = 0
        self.waits: Waits[Any] | None = None
        """Where somebody counts how long the pass waited for batches."""
        self._began = time.perf_counter()
        self._ended = self._began

    def add(self, loss: float, scores: Tensor, labels: Tensor) -> None:
        """Counts one batch: its mean loss, and scores [n, classes] whose largest is the prediction."""
        images = len(labels)
        self._loss += loss * images
        self._correct += int((scores.detach().argmax(dim=1) == labels).sum())
        self._images += images
        self._ended = time.perf_counter()

    @property
    def loss(self) -> float:
        """Nats per image so far."""
        return self._loss / self._images

    @property
    def accuracy(self) -> float:
        """Share of one so far."""
        return self._correct / self._images

    @property
    def seconds(self) -> float:
        """From the beginning to the last batch."""
        return self._ended - self._began


class Ticker:
    """Tells the callbacks of one epoch: steps about five times a second and the last one always, then the metrics."""

    def __init__(self, callbacks: Callbacks, epoch: int, total: int) -> None:
        self._callbacks = callbacks
        self._epoch = epoch
        self._total = total
        self._next = time.perf_counter() + REPORT_SECONDS

    def step(self, done: int, train: Means) -> None:
        """After every training step."""
        if done == self._total or self._due():
            self._callbacks.step(self._epoch, done, self._total, train.loss)

    def validating(self) -> None:
        """After every batch of a validation pass, so that a long one can be cancelled too."""
        if self._due():
            self._callbacks.step(self._epoch, self._total, self._total, None)

    def finish(self, train: Means, validation: Means, state: Callable[[], State]) -> None:
        """After validation. A loss that is not finite goes through `step`, which knows what to do with it."""
        if not math.isfinite(validation.loss):
            self._callbacks.step(self._epoch, self._total, self._total, validation.loss)
        metrics = EpochMetrics(
            epoch=self._epoch,
            train_loss=train.loss,
            train_accuracy=train.accuracy,
            validation_loss=validation.loss,
            validation_accuracy=validation.accuracy,
            train_seconds=train.seconds,
            validation_seconds=validation.seconds,
            data_seconds=train.waits.seconds if train.waits else None,
        )
        self._callbacks.epoch(metrics, state)

    def _due(self) -> bool:
        now = time.perf_counter()
        if now < self._next:
            return False
        self._next = now + REPORT_SECONDS
        return True


def shared_optimizer(parameters: Any, spec: Adam | Sgd) -> torch.optim.Optimizer:
    """The canonical arithmetic, which is torch's: ε after bias correction, heavy-ball momentum without dampening."""
    # fused: the same formulas in one pass over each tensor.
    return framework_optimizer(parameters, spec, fused=True)


def framework_optimizer(parameters: Any, spec: Adam | Sgd, **options: Any) -> torch.optim.Optimizer:
    """torch.optim's class with its own default for every number the recipe leaves to the framework."""
    options.update(learning_rate_option(spec))
    if isinstance(spec, Sgd):
        return torch.optim.SGD(parameters, **options, **given(momentum=spec.momentum))
    return torch.optim.Adam(parameters, **options, **_adam_options(spec))


def learning_rate_option(spec: Adam | Sgd) -> dict[str, float]:
    """`lr` where the recipe names one."""
    return given(lr=spec.learning_rate)


def given(**values: float | None) -> dict[str, float]:
    """The values that are not None."""
    return {key: value for key, value in values.items() if value is not None}


def _adam_options(spec: Adam) -> dict[str, Any]:
    options: dict[str, Any] = given(eps=spec.epsilon)
    if spec.beta_1 is not None or spec.beta_2 is not None:
        options["betas"] = (0.9 if spec.beta_1 is None else spec.beta_1, 0.999 if spec.beta_2 is None else spec.beta_2)
    return options


def pack(recipe: Recipe, content: dict[str, Any]) -> State:
    """A checkpoint as arrays: the bytes torch.save writes, with the random state where torch itself draws numbers."""
    random = {} if recipe.pipeline == "shared" else {"random": torch.get_rng_state()}
    buffer = io.BytesIO()
    torch.save({**content, **random}, buffer)
    return {STATE_KEY: np.frombuffer(buffer.getvalue(), dtype=np.uint8).copy()}


def unpack(state: State) -> dict[str, Any]:
    """The content of a checkpoint; restores the random state it holds, if any."""
    content: dict[str, Any] = torch.load(io.BytesIO(state[STATE_KEY].tobytes()), weights_only=True)
    if "random" in content:
        torch.set_rng_state(content.pop("random"))
    return content
