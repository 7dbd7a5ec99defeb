"""PyTorch: a training loop as its tutorials write it.

What `framework` and None mean here, all of it torch's own:
- initializer: Kaiming uniform with a = √5 for kernels, uniform ±1/√fan_in for biases.
- pipeline: a `Dataset` that opens each original with Pillow, transforms v2 for resizing and augmentation, a
  `DataLoader` with shuffle=True, the last partial batch included, and `nn.Dropout`.
- optimizer: `torch.optim.Adam` (rate 1e-3, β 0.9 and 0.999, ε 1e-8) and `SGD` (rate 1e-3, no momentum).
- batch norm: momentum 0.1, which is 0.9 here, and ε 1e-5.
- arithmetic: the shared one is torch's, computed by its fused kernels; `framework` leaves the kernel to torch.
"""

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from core.schemas.augmentation import Augmentation
from core.schemas.recipe import Recipe
from trainer.ahead import Waits
from trainer.framework import Callbacks, State, TrainingData
from trainer.frameworks._torch_data import (
    ArrayDataset,
    ImageDataset,
    Masks,
    MatchedLoader,
    SequentialLoader,
)
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

Own: TypeAlias = DataLoader[tuple[Tensor, Tensor]]
Loader: TypeAlias = MatchedLoader | Own
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
        loader, scored = _loader(model, data, recipe), _validation_loader(data, recipe)
        for epoch in range(callbacks.resume_epoch + 1, recipe.epochs + 1):
            ticker = Ticker(callbacks, epoch, len(loader))
            train = _train_epoch(model, optimizer, _batches(loader, epoch), ticker)
            validation = _validate(model, scored, ticker)
            ticker.finish(train, validation, partial(_checkpoint, model, optimizer, recipe))

    def first_batch(
        self, model: TorchModel, data: TrainingData, recipe: Recipe
    ) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """See the protocol."""
        torch.manual_seed(model.settings.seed)
        images, labels = next(iter(_own_loader(data, "train", recipe)))
        return images.numpy(), labels.numpy()

    def extras(self, model: TorchModel, directory: Path) -> None:
        """Nothing: PyTorch's users load the exported program."""


def _checkpoint(model: TorchModel, optimizer: torch.optim.Optimizer, recipe: Recipe) -> State:
    return pack(recipe, {"network": model.network.state_dict(), "optimizer": optimizer.state_dict()})


def _optimizer(model: TorchModel, recipe: Recipe) -> torch.optim.Optimizer:
    make = shared_optimizer if recipe.arithmetic == "shared" else framework_optimizer
    return make(model.network.parameters(), recipe.optimizer)


def _loader(model: TorchModel, data: TrainingData, recipe: Recipe) -> Loader:
    if recipe.pipeline == "shared":
        return MatchedLoader(
            data.train, model.architecture, model.settings.seed, recipe.batch_size, recipe.augmentation
        )
    return _own_loader(data, "train", recipe)


def _validation_loader(data: TrainingData, recipe: Recipe) -> SequentialLoader | Own:
    if recipe.pipeline == "shared" or data.originals is None:
        return SequentialLoader(data.validation, recipe.batch_size)
    return _own_loader(data, "validation", recipe)


def _own_loader(data: TrainingData, split: str, recipe: Recipe) -> Own:
    """A DataLoader as the tutorials build it, with shuffling and augmentation for the training split."""
    training = split == "train"
    vary = recipe.augmentation if training else Augmentation()
    return DataLoader(_dataset(data, split, vary), batch_size=recipe.batch_size, shuffle=training)


def _dataset(data: TrainingData, split: str, vary: Augmentation) -> Dataset[tuple[Tensor, int]]:
    originals = data.original(split)
    arrays = data.train if split == "train" else data.validation
    if originals is None and not vary.active:
        return ArrayDataset(arrays, data.classes)
    # torchvision is imported where it is needed: many a training does without.
    from trainer.frameworks import _torch_transforms as transforms

    height, width = arrays.images.shape[1:3]
    varying = [*transforms.augmenting(vary, height, width), *transforms.to_network()]
    if originals is None:
        return ImageDataset(arrays.pillow, arrays.labels, transforms.compose(varying))
    resize = transforms.resizing(originals.spec)
    return ImageDataset(originals.pillow, originals.labels, transforms.compose([resize, *varying]))


def _batches(loader: Loader, epoch: int) -> Batches:
    if isinstance(loader, MatchedLoader):
        loader.epoch = epoch
        return loader
    return ((images, {}, labels) for images, labels in loader)


def _train_epoch(model: TorchModel, optimizer: torch.optim.Optimizer, batches: Batches, ticker: Ticker) -> Means:
    network, loss_of, means = model.network.train(), HeadLoss(model.architecture.head), Means()
    batches = means.waits = Waits(batches)
    for done, (images, masks, labels) in enumerate(batches, start=1):
        if masks:
            network.give_masks(masks)
        optimizer.zero_grad()
        logits = network(images)
        loss = loss_of(logits, labels)
        loss.backward()
        optimizer.step()
        means.add(loss.item(), head_scores(network.head, logits), labels)
        ticker.step(done, means)
    return means


def _validate(model: TorchModel, batches: Iterable[tuple[Tensor, Tensor]], ticker: Ticker) -> Means:
    network, loss_of, means = model.network.eval(), HeadLoss(model.architecture.head), Means()
    with torch.inference_mode():
        for images, labels in batches:
            logits = network(images)
            means.add(loss_of(logits, labels).item(), head_scores(network.head, logits), labels)
            ticker.validating()
    return means


FRAMEWORK = PyTorchFramework()
