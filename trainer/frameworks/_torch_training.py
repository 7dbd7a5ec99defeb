"""What both torch trainings need: loss, running means, checkpoints."""

import io
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from core.errors import InvalidInputError
from core.schemas.metrics import EpochMetrics
from core.schemas.recipe import Recipe
from trainer.ahead import Waits
from trainer.framework import Callbacks, State
from trainer.frameworks._torch_network import Network, head_scores
from trainer.layers import Head
from trainer.objective import Objective

REPORT_SECONDS = 0.2
STATE_KEY = "torch"
CROSS_ENTROPY = Objective()


class HeadLoss(nn.Module):
    """The objective of a batch, from logits; with the two methods that fastai asks of a loss.

    In evaluation mode without the class weights.
    """

    def __init__(self, head: Head, goal: Objective = CROSS_ENTROPY) -> None:
        super().__init__()
        self.head: Head = head
        self.goal = goal

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        scores, goal = head_scores(self.head, logits), self.goal
        weights = goal.class_weights if self.training else None
        if goal.kind == "cross_entropy" and (weights is None or goal.normalized):
            table = None if weights is None else torch.tensor(weights, dtype=scores.dtype, device=scores.device)
            return functional.cross_entropy(scores, labels, table, label_smoothing=goal.smoothing)
        each = self._each(scores, labels)
        if weights is None:
            return each.mean()
        factors = torch.tensor(weights, dtype=scores.dtype, device=scores.device)[labels]
        total = (factors * each).sum()
        return total / factors.sum() if goal.normalized else total / len(labels)

    def _each(self, scores: Tensor, labels: Tensor) -> Tensor:
        """Losses of the images [n]."""
        if self.goal.kind == "cross_entropy":
            return functional.cross_entropy(scores, labels, reduction="none", label_smoothing=self.goal.smoothing)
        classes = scores.shape[1]
        targets = functional.one_hot(labels, classes).to(scores.dtype)
        targets = targets * (1.0 - self.goal.smoothing) + self.goal.smoothing / classes
        return (functional.softmax(scores, dim=1) - targets).square().mean(dim=1)

    def activation(self, logits: Tensor) -> Tensor:
        """Probabilities [n, classes]."""
        return functional.softmax(head_scores(self.head, logits), dim=1)

    def decodes(self, probabilities: Tensor) -> Tensor:
        """Class indices [n]."""
        return probabilities.argmax(dim=1)


def moved(parts: Any, device: str) -> Any:
    """Tensors of a batch, alone or in a dict, on a device; the same ones where they are there."""
    return {key: part.to(device) for key, part in parts.items()} if isinstance(parts, dict) else parts.to(device)


class Means:
    """Running means of loss and accuracy over the images of a pass, and its time."""

    def __init__(self) -> None:
        self._loss = 0.0
        self._correct = 0
        self.images = 0
        """So far."""
        self.waits: Waits[Any] | None = None
        """Where somebody counts how long the pass waited for batches."""
        self._began = time.perf_counter()
        self._ended = self._began

    def add(self, loss: float, scores: Tensor, labels: Tensor) -> None:
        """Counts one batch: its mean loss, and scores [n, classes] whose largest is the prediction."""
        images = len(labels)
        self._loss += loss * images
        self._correct += int((scores.detach().argmax(dim=1) == labels).sum())
        self.images += images
        self._ended = time.perf_counter()

    @property
    def loss(self) -> float:
        """Nats per image so far."""
        return self._loss / self.images

    @property
    def accuracy(self) -> float:
        """Share of one so far."""
        return self._correct / self.images

    @property
    def seconds(self) -> float:
        """From the beginning to the last batch."""
        return self._ended - self._began


class Ticker:
    """Tells the callbacks of one epoch: steps about five times a second, and always the last one, the very first one of
    a training, and one whose loss is not finite."""

    def __init__(self, callbacks: Callbacks, epoch: int, total: int) -> None:
        self._callbacks = callbacks
        self._epoch = epoch
        self._total = total
        self._next = time.perf_counter() + REPORT_SECONDS

    def step(self, done: int, train: Means, loss: float) -> None:
        """After every training step, with its own loss."""
        if self._callbacks.each_step is not None:
            self._callbacks.each_step(loss)
        if not math.isfinite(loss):
            self._callbacks.step(self._epoch, done, self._total, loss)
        if done == self._total or self._epoch == done == 1 or self._due():
            self._callbacks.step(self._epoch, done, self._total, train.loss)

    def validating(self) -> None:
        """After every batch of a validation pass, so that a long one can be cancelled too."""
        if self._due():
            self._callbacks.step(self._epoch, self._total, self._total, None)

    def metrics(self, train: Means, validation: Means) -> EpochMetrics:
        """After validation."""
        return EpochMetrics(
            epoch=self._epoch,
            train_loss=train.loss,
            train_accuracy=train.accuracy,
            validation_loss=validation.loss,
            validation_accuracy=validation.accuracy,
            train_seconds=train.seconds,
            validation_seconds=validation.seconds,
            data_seconds=train.waits.seconds if train.waits else None,
            train_images=train.images,
        )

    def _due(self) -> bool:
        now = time.perf_counter()
        if now < self._next:
            return False
        self._next = now + REPORT_SECONDS
        return True


def pack(recipe: Recipe, content: dict[str, Any], device: str) -> State:
    """A checkpoint as arrays: the bytes torch.save writes, with the random state where torch itself draws numbers."""
    random: dict[str, Any] = {} if recipe.pipeline == "shared" else {"random": torch.get_rng_state()}
    if random and device == "cuda":  # dropout draws there
        random["cuda_random"] = torch.cuda.get_rng_state()
    buffer = io.BytesIO()
    torch.save({**content, **random}, buffer)
    return {STATE_KEY: np.frombuffer(buffer.getbuffer(), dtype=np.uint8)}


def restore_random(saved: dict[str, Any]) -> None:
    """Goes on with a checkpoint's random numbers, if it holds any. After the loaders are built: that draws some."""
    if "random" in saved:
        torch.set_rng_state(saved["random"])
    if "cuda_random" in saved:
        torch.cuda.set_rng_state(saved["cuda_random"])


@contextmanager
def reduced_precision(network: Network, recipe: Recipe) -> Iterator[None]:
    """torch's autocast to bfloat16 inside, where the recipe asks for it; float32 again for what comes after."""
    network.reduced = recipe.precision == "bfloat16"
    try:
        yield
    finally:
        network.reduced = False


def restore_network(network: nn.Module, callbacks: Callbacks) -> dict[str, Any]:
    """Puts a checkpoint's weights in; the rest of its content, empty where there is none.

    Raises:
        InvalidInputError: it belongs to another architecture.
    """
    state, callbacks.resume = callbacks.resume, None
    if state is None:
        return {}
    content: dict[str, Any] = torch.load(io.BytesIO(state[STATE_KEY].tobytes()), "cpu", weights_only=True)
    try:
        network.load_state_dict(content.pop("network"))
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise InvalidInputError(f"the checkpoint was saved from another architecture: {reason:.300}") from error
    return content
