"""What both torch trainings need: loss, running means, optimisers, checkpoints."""

import io
import time
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.schemas.recipe import Adam, Recipe, Sgd
from trainer.framework import Callbacks, State
from trainer.frameworks._torch_network import head_scores
from trainer.layers import Head

REPORT_SECONDS = 0.2
STATE_KEY = "torch"


class HeadLoss(nn.Module):
    """Mean over the batch of −log p(label), computed from logits. Also what fastai asks of a loss: activation, decodes."""

    def __init__(self, head: Head) -> None:
        super().__init__()
        self.head: Head = head

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(head_scores(self.head, logits), labels)

    def activation(self, logits: Tensor) -> Tensor:
        """Probabilities [n, classes]."""
        return F.softmax(head_scores(self.head, logits), dim=1)

    def decodes(self, probabilities: Tensor) -> Tensor:
        """Class indices [n]."""
        return probabilities.argmax(dim=1)


class Means:
    """Running means of loss and accuracy over the images of a pass, and when they began."""

    def __init__(self) -> None:
        self._loss = 0.0
        self._correct = 0
        self._images = 0
        self._began = time.perf_counter()

    def add(self, loss: float, scores: Tensor, labels: Tensor) -> None:
        """Counts one batch: its mean loss, and scores [n, classes] whose largest is the prediction."""
        images = len(labels)
        self._loss += loss * images
        self._correct += int((scores.detach().argmax(dim=1) == labels).sum())
        self._images += images

    @property
    def loss(self) -> float:
        return self._loss / self._images

    @property
    def accuracy(self) -> float:
        return self._correct / self._images

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._began


class Ticker:
    """Passes steps on to the callbacks about five times a second, and the last one of an epoch always."""

    def __init__(self, callbacks: Callbacks, epoch: int, total: int) -> None:
        self._callbacks = callbacks
        self._epoch = epoch
        self._total = total
        self._next = time.perf_counter() + REPORT_SECONDS

    def step(self, done: int, loss: float | None) -> None:
        """After every step; `loss` None in validation, which goes on reporting the finished epoch."""
        now = time.perf_counter()
        if now < self._next and (done < self._total or loss is None):
            return
        self._next = now + REPORT_SECONDS
        self._callbacks.step(self._epoch, done, self._total, loss)

    def validating(self) -> None:
        """After every batch of a validation pass, so that a long one can be cancelled too."""
        self.step(self._total, None)


def shared_optimizer(parameters: Any, spec: Adam | Sgd) -> torch.optim.Optimizer:
    """The canonical arithmetic, which is torch's own: ε after bias correction, heavy-ball momentum without dampening."""
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
