"""PyTorch: a training loop as its tutorials write it.

What `framework` and None mean here, all of it torch's own:
- batch size: 64, the quickstart's.
- initializer: Kaiming uniform with a = √5 for kernels, uniform ±1/√fan_in for biases.
- pipeline: a `Dataset` that opens each original with Pillow, transforms v2 for resizing and augmentation, a
  `DataLoader` with shuffle=True and `workers` or, torch's default, none, the last partial batch included, and
  `nn.Dropout`; a weighted sampler is `WeightedRandomSampler`.
- optimizer: `torch.optim.Adam` and `AdamW` (rate 1e-3, β 0.9 and 0.999, ε 1e-8, decay 0.01) and `SGD` (rate 1e-3, no
  momentum); `weight_decay`, coupled or not, is for every parameter.
- schedule: none; a named one is `torch.optim.lr_scheduler`'s, `StepLR` and `CosineAnnealingLR` a step an epoch.
- class weights: those of `cross_entropy`, which divides a batch's loss by the sum of its weights.
- freeze: `requires_grad_(False)`; a fixed batch norm still follows its batches with its running statistics.
- batch norm: momentum 0.1, which is 0.9 here, and ε 1e-5.
- on a GPU in both modes, and not torch's default there: no TensorFloat-32, cuDNN's deterministic algorithms.
- arithmetic: the shared one is torch's, computed by its fused kernels and in channels_last memory where there is no
  batch norm; `framework` leaves the kernel to torch and the memory in its contiguous format.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, WeightedRandomSampler

from core.schemas.augmentation import Augmentation
from core.schemas.metrics import EpochMetrics
from core.schemas.recipe import Recipe
from trainer.ahead import Waits
from trainer.batches import balanced_chances
from trainer.framework import Callbacks, State, TrainingData
from trainer.frameworks._torch_data import ArrayDataset, ImageDataset, Masks, MatchedLoader, SequentialLoader
from trainer.frameworks._torch_freezing import freeze, set_training
from trainer.frameworks._torch_model import TorchFramework, TorchModel
from trainer.frameworks._torch_network import head_scores
from trainer.frameworks._torch_optimizers import make_rates, own_optimizer, shared_optimizer
from trainer.frameworks._torch_training import (
    HeadLoss,
    Means,
    Ticker,
    moved,
    pack,
    reduced_precision,
    restore_network,
    restore_random,
)
from trainer.frameworks._torch_workers import decoding_workers, own_words
from trainer.phases import Phase, fixed_norms, remaining

Own: TypeAlias = DataLoader[tuple[Tensor, Tensor]]
Loader: TypeAlias = MatchedLoader | Own
Batches = Iterable[tuple[Tensor, Masks, Tensor]]


class PyTorchFramework(TorchFramework):
    """`Framework` in PyTorch."""

    name = "pytorch"

    def fit(self, model: TorchModel, data: TrainingData, recipe: Recipe, callbacks: Callbacks) -> None:
        """Trains in place; both pipelines continue a checkpoint bit for bit."""
        with reduced_precision(model.network, recipe), own_words():
            self._fit(model, data, recipe, callbacks)
        model.network.requires_grad_(True)

    def _fit(self, model: TorchModel, data: TrainingData, recipe: Recipe, callbacks: Callbacks) -> None:
        model.classes = data.classes
        torch.manual_seed(model.settings.seed)
        saved = restore_network(model.network, callbacks)
        loader, scored = _loader(model, data, recipe), _validation_loader(data, recipe)
        loss = HeadLoss(model.architecture.head, data.objective(recipe))
        restore_random(saved)
        for phase, epochs in remaining(recipe, model.architecture, callbacks):
            training = Training(model, recipe, phase, len(loader))
            if epochs.start > phase.first:
                training.restore(saved)
            saved = {}  # not to be kept in memory to the end
            for epoch in epochs:
                ticker = Ticker(callbacks, epoch, len(loader))
                training.begin(epoch, callbacks)
                train = _train_epoch(training, loss.train(), _batches(loader, epoch), ticker)
                validation = _validate(model, loss.eval(), scored, ticker)
                metrics = ticker.metrics(train, validation)
                training.finish(metrics)
                callbacks.epoch(metrics, training.state)
                if callbacks.stopped:
                    break

    def first_batch(
        self, model: TorchModel, data: TrainingData, recipe: Recipe
    ) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """See the protocol."""
        torch.manual_seed(model.settings.seed)
        images, labels = next(iter(_own_loader(data, "train", recipe.model_copy(update={"workers": 0}))))
        return images.numpy(), labels.numpy()

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
        return pack(self._recipe, parts | ({"rates": self.rates.state()} if self.rates else {}), self.device)

    def restore(self, saved: dict[str, Any]) -> None:
        """Goes on from a checkpoint of the same phase."""
        self.optimizer.load_state_dict(saved["optimizer"])
        if self.rates:
            self.rates.restore(saved["rates"])


def _loader(model: TorchModel, data: TrainingData, recipe: Recipe) -> Loader:
    if recipe.pipeline == "shared":
        return MatchedLoader(data.train, model.architecture, model.settings.seed, recipe)
    return _own_loader(data, "train", recipe)


def _validation_loader(data: TrainingData, recipe: Recipe) -> SequentialLoader | Own:
    if recipe.pipeline == "shared" or data.originals is None:
        return SequentialLoader(data.validation, recipe.batch)
    return _own_loader(data, "validation", recipe)


def _own_loader(data: TrainingData, split: str, recipe: Recipe) -> Own:
    """A DataLoader as the tutorials build it, with shuffling and augmentation for the training split."""
    training = split == "train"
    vary = recipe.augmentation if training else Augmentation()
    weighted = training and recipe.sampler == "weighted"
    drawn = WeightedRandomSampler(balanced_chances(data.train.labels), len(data.train)) if weighted else None
    shuffle = training and not weighted
    workers = decoding_workers(recipe, data.original(split), default=0)
    return DataLoader(
        _dataset(data, split, vary),
        batch_size=recipe.batch,
        shuffle=shuffle,
        sampler=drawn,
        # Anew in every epoch, torch's default: what processes that live on have drawn, no checkpoint knows.
        num_workers=workers,
        multiprocessing_context="fork" if workers else None,
    )


def _dataset(data: TrainingData, split: str, vary: Augmentation) -> Dataset[tuple[Tensor, int]]:
    originals = data.original(split)
    arrays = data.train if split == "train" else data.validation
    if originals is None and not vary.active:
        return ArrayDataset(arrays)
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
    return _without_masks(loader)


def _without_masks(loader: Own) -> Iterator[tuple[Tensor, Masks, Tensor]]:
    # Started by whoever waits for the first batch: the loader's processes start in the time that counts.
    for images, labels in loader:
        yield images, {}, labels


def _train_epoch(training: Training, loss_of: HeadLoss, batches: Batches, ticker: Ticker) -> Means:
    network, means = training.network, Means()
    waits = means.waits = Waits(batches)
    for index, batch in enumerate(waits):
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


def _validate(model: TorchModel, loss_of: HeadLoss, batches: Iterable[tuple[Tensor, Tensor]], ticker: Ticker) -> Means:
    network, means = model.network.eval(), Means()
    with torch.inference_mode():
        for batch in batches:
            images, labels = (moved(part, model.settings.device) for part in batch)
            logits = network(images)
            means.add(loss_of(logits, labels).item(), head_scores(network.head, logits), labels)
            ticker.validating()
    return means


FRAMEWORK = PyTorchFramework()
