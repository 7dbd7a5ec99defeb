"""PyTorch: a training loop as its tutorials write it."""

from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from core.prepared import Split
from core.schemas.recipe import Recipe
from core.schemas.results import EpochMetrics
from trainer.framework import Callbacks, TrainingData
from trainer.frameworks._torch_data import ArrayDataset, MatchedLoader, Masks, SequentialLoader
from trainer.frameworks._torch_model import TorchFramework, TorchModel
from trainer.frameworks._torch_network import head_scores
from trainer.frameworks._torch_training import (
    HeadLoss,
    Means,
    Ticker,
    framework_optimizer,
    pack,
    shared_optimizer,
    unpack,
)

Batches = Iterable[tuple[Tensor, Masks, Tensor]]


class PyTorchFramework(TorchFramework):
    """`Framework` in PyTorch."""

    name = "pytorch"

    def fit(self, model: TorchModel, data: TrainingData, recipe: Recipe, callbacks: Callbacks) -> None:
        """Trains in place; both pipelines continue a checkpoint bit for bit."""
        model.classes = data.classes
        optimizer = _optimizer(model, recipe)
        torch.manual_seed(model.settings.seed)
        if callbacks.resume is not None:
            content = unpack(callbacks.resume)
            model.network.load_state_dict(content["network"])
            optimizer.load_state_dict(content["optimizer"])
        loader = _loader(model, data.train, recipe)
        for epoch in range(callbacks.resume_epoch + 1, recipe.epochs + 1):
            ticker = Ticker(callbacks, epoch, len(loader))
            train = _train_epoch(model, optimizer, _batches(loader, epoch), ticker)
            train_seconds = train.seconds
            validation = _validate(model, data.validation, recipe.batch_size, ticker)
            metrics = EpochMetrics(
                epoch=epoch,
                train_loss=train.loss,
                train_accuracy=train.accuracy,
                validation_loss=validation.loss,
                validation_accuracy=validation.accuracy,
                train_seconds=train_seconds,
                validation_seconds=validation.seconds,
            )
            content = {"network": model.network.state_dict(), "optimizer": optimizer.state_dict()}
            callbacks.epoch(metrics, lambda content=content: pack(recipe, content))  # type: ignore[misc]

    def extras(self, model: TorchModel, directory: Path) -> None:
        """Nothing: PyTorch's users load the exported program."""


def _optimizer(model: TorchModel, recipe: Recipe) -> torch.optim.Optimizer:
    make = shared_optimizer if recipe.arithmetic == "shared" else framework_optimizer
    return make(model.network.parameters(), recipe.optimizer)


def _loader(model: TorchModel, split: Split, recipe: Recipe) -> "MatchedLoader | DataLoader[tuple[Tensor, Tensor]]":
    if recipe.pipeline == "shared":
        return MatchedLoader(split, model.architecture, model.settings.seed, recipe.batch_size)
    return DataLoader(ArrayDataset(split), batch_size=recipe.batch_size, shuffle=True)


def _batches(loader: "MatchedLoader | DataLoader[tuple[Tensor, Tensor]]", epoch: int) -> Batches:
    if isinstance(loader, MatchedLoader):
        loader.epoch = epoch
        return loader
    return ((images, {}, labels) for images, labels in loader)


def _train_epoch(model: TorchModel, optimizer: torch.optim.Optimizer, batches: Batches, ticker: Ticker) -> Means:
    network, loss_of, means = model.network.train(), HeadLoss(model.architecture.head), Means()
    for done, (images, masks, labels) in enumerate(batches, start=1):
        network.give_masks(masks)
        optimizer.zero_grad()
        logits = network(images)
        loss = loss_of(logits, labels)
        loss.backward()
        optimizer.step()
        means.add(loss.item(), head_scores(network.head, logits), labels)
        ticker.step(done, loss.item())
    network.give_masks({})
    return means


def _validate(model: TorchModel, split: Split, batch_size: int, ticker: Ticker) -> Means:
    network, loss_of, means = model.network.eval(), HeadLoss(model.architecture.head), Means()
    with torch.inference_mode():
        for images, labels in SequentialLoader(split, batch_size):
            logits = network(images)
            means.add(loss_of(logits, labels).item(), head_scores(network.head, logits), labels)
            ticker.validating()
    return means


FRAMEWORK = PyTorchFramework()
