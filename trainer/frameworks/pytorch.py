"""PyTorch: a training loop as its tutorials write it.

What `framework` and None mean here, all of it torch's own:
- initializer: Kaiming uniform with a = √5 for kernels, uniform ±1/√fan_in for biases.
- pipeline: a `DataLoader` with shuffle=True over single items, the last partial batch included, and `nn.Dropout`.
- optimizer: `torch.optim.Adam` and `AdamW` (rate 1e-3, β 0.9 and 0.999, ε 1e-8, decay 0.01) and `SGD` (rate 1e-3, no
  momentum); `weight_decay`, coupled or not, is for every parameter.
- schedule: none; a named one is `torch.optim.lr_scheduler`'s, `StepLR` and `CosineAnnealingLR` a step an epoch.
- class weights: those of `cross_entropy`, which divides a batch's loss by the sum of its weights.
- freeze: `requires_grad_(False)`; a fixed batch norm still follows its batches with its running statistics.
- batch norm: momentum 0.1, which is 0.9 here, and ε 1e-5.
- arithmetic: the shared one is torch's, computed by its fused kernels; `framework` leaves the kernel to torch.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from core.prepared import Split
from core.schemas.recipe import Recipe
from core.schemas.results import EpochMetrics
from trainer.framework import Callbacks, State, TrainingData
from trainer.frameworks._torch_data import ArrayDataset, Masks, MatchedLoader, SequentialLoader
from trainer.frameworks._torch_freezing import freeze, set_training
from trainer.frameworks._torch_model import TorchFramework, TorchModel
from trainer.frameworks._torch_network import head_scores
from trainer.frameworks._torch_optimizers import make_rates, own_optimizer, shared_optimizer
from trainer.frameworks._torch_training import HeadLoss, Means, Ticker, moved, pack, reduced_precision, restore_network
from trainer.phases import Phase, fixed_norms, remaining

Loader: TypeAlias = MatchedLoader | DataLoader[tuple[Tensor, Tensor]]
Batches = Iterable[tuple[Tensor, Masks, Tensor]]


class PyTorchFramework(TorchFramework):
    """`Framework` in PyTorch."""

    name = "pytorch"

    def fit(self, model: TorchModel, data: TrainingData, recipe: Recipe, callbacks: Callbacks) -> None:
        """Trains in place; both pipelines continue a checkpoint bit for bit."""
        with reduced_precision(model.network, recipe):
            self._fit(model, data, recipe, callbacks)
        model.network.requires_grad_(True)

    def _fit(self, model: TorchModel, data: TrainingData, recipe: Recipe, callbacks: Callbacks) -> None:
        model.classes = data.classes
        torch.manual_seed(model.settings.seed)
        saved = restore_network(model.network, callbacks.resume)
        loader, loss = _loader(model, data, recipe), HeadLoss(model.architecture.head, data.objective(recipe))
        for phase, epochs in remaining(recipe, model.architecture, callbacks):
            training = Training(model, recipe, phase, len(loader))
            if epochs.start > phase.first:
                training.restore(saved)
            for epoch in epochs:
                ticker = Ticker(callbacks, epoch, len(loader))
                training.begin(epoch, callbacks)
                train = _train_epoch(training, loss.train(), _batches(loader, epoch), ticker)
                validation = _validate(model, loss.eval(), data.validation, recipe.batch_size, ticker)
                metrics = ticker.metrics(train, validation)
                training.finish(metrics)
                callbacks.epoch(metrics, training.state)
                if callbacks.stopped:
                    break

    def extras(self, model: TorchModel, directory: Path) -> None:
        """Nothing: PyTorch's users load the exported program."""


class Training:
    """Optimiser, learning rates and fixed layers of one phase."""

    def __init__(self, model: TorchModel, recipe: Recipe, phase: Phase, steps: int) -> None:
        self.network, self.device, self._recipe = model.network, model.settings.device, recipe
        freeze(model.architecture, model.network, phase)
        shared = recipe.arithmetic == "shared"
        # torch's own rule: a fixed batch norm still follows its batches.
        self._fixed = fixed_norms(model.architecture, phase) if shared else ()
        make = shared_optimizer if shared else own_optimizer
        self.optimizer = make(model.architecture, model.network, recipe, phase)
        self.rates = make_rates(self.optimizer, recipe, phase, steps)

    def begin(self, epoch: int, callbacks: Callbacks) -> None:
        """Before the steps of an epoch."""
        set_training(self.network, self._fixed)
        if self.rates:
            self.rates.begin(epoch, callbacks.history)

    def step(self, index: int, loss: Tensor) -> None:
        """One step down the gradient of a loss."""
        if self.rates:
            self.rates.before_step(index)
        loss.backward()
        self.optimizer.step()
        if self.rates:
            self.rates.after_step()

    def finish(self, metrics: EpochMetrics) -> None:
        """After validation."""
        if self.rates:
            self.rates.after_epoch(metrics)

    def state(self) -> State:
        """The checkpoint."""
        parts = {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}
        return pack(self._recipe, parts | ({"rates": self.rates.state()} if self.rates else {}))

    def restore(self, saved: dict[str, Any]) -> None:
        """Goes on from a checkpoint of the same phase."""
        self.optimizer.load_state_dict(saved["optimizer"])
        if self.rates:
            self.rates.restore(saved["rates"])


def _loader(model: TorchModel, data: TrainingData, recipe: Recipe) -> Loader:
    if recipe.pipeline == "shared":
        return MatchedLoader(data.train, model.architecture, model.settings.seed, recipe)
    return DataLoader(ArrayDataset(data.train, data.classes), batch_size=recipe.batch_size, shuffle=True)


def _batches(loader: Loader, epoch: int) -> Batches:
    if isinstance(loader, MatchedLoader):
        loader.epoch = epoch
        return loader
    return ((images, {}, labels) for images, labels in loader)


def _train_epoch(training: Training, loss_of: HeadLoss, batches: Batches, ticker: Ticker) -> Means:
    network, means = training.network, Means()
    for index, batch in enumerate(batches):
        images, masks, labels = (moved(part, training.device) for part in batch)
        if masks:
            network.give_masks(masks)
        training.optimizer.zero_grad()
        logits = network(images)
        loss = loss_of(logits, labels)
        training.step(index, loss)
        value = loss.item()
        means.add(value, head_scores(network.head, logits), labels)
        ticker.step(index + 1, means, value)
    return means


def _validate(model: TorchModel, loss_of: HeadLoss, split: Split, batch_size: int, ticker: Ticker) -> Means:
    network, means = model.network.eval(), Means()
    with torch.inference_mode():
        for batch in SequentialLoader(split, batch_size):
            images, labels = (moved(part, model.settings.device) for part in batch)
            logits = network(images)
            means.add(loss_of(logits, labels).item(), head_scores(network.head, logits), labels)
            ticker.validating()
    return means


FRAMEWORK = PyTorchFramework()
