"""fastai: a `Learner`, fed the shared batches, or its own loaders in `fit_one_cycle`.

What `framework` and None mean here, all of it fastai's own:
- batch size: 64, the default of `DataLoaders`.
- initializer: torch's, because a Learner leaves the weights of a module it is given alone.
- pipeline: a `DataBlock` over the originals with `Resize` and `aug_transforms` (arrays without augmentation:
  `DataLoaders.from_dsets`), shuffled, the last partial batch dropped, with `workers` or one for each thread up to 16
  (none for arrays); a weighted sampler is `WeightedDL`.
- schedule: `fit_one_cycle`, its rate the cycle's largest (default 1e-3), Adam's β1 0.95 → 0.85 → 0.95 unless the recipe
  names one, which then stays constant; SGD has no momentum to move. Named ones are `ParamScheduler`s; a plateau is the
  shared rule, which is that of `ReduceLROnPlateau`.
- optimizer: fastai's Adam (β 0.9 and 0.99, ε 1e-5, decoupled weight decay 0.01: it is AdamW too) and SGD (no momentum,
  no decay). `l2` makes the decay a coupled one.
- batch norm: torch's, momentum 0.1, which is 0.9 here, and ε 1e-5.
- arithmetic: fastai's optimisers, whose weight decay spares biases and batch norm, and torch's contiguous memory
  format; the shared optimiser is torch's, with fastai's β and ε where the recipe names none.
- class weights: as in torch, divided by the sum of a batch's weights.
- freeze: `Learner.freeze_to`, which goes on training the batch norms of frozen layers. With schedule None, and a
  stage in which everything learns, the figures are those of `Learner.fine_tune`, its rate of 2e-3 included, but for
  `lr_mult`: that is the recipe's `discriminative`.
  A ResNet's groups are those of `vision_learner`; its head is not: one dense layer as in the other frameworks, where
  `create_head` has two pools, two batch norms, two dropouts and two dense layers.
"""

import random
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fastai.callback import progress as _progress  # noqa: F401  adds no_bar to Learner
from fastai.callback.core import CancelFitException, TrainEvalCallback
from fastai.callback.data import WeightedDL
from fastai.data.core import DataLoaders, Datasets, TfmdLists
from fastai.data.load import DataLoader
from fastai.data.transforms import Categorize
from fastai.learner import Learner
from fastai.optimizer import OptimWrapper
from fastai.torch_core import tensor, to_device, trainable_params
from fastcore.basics import GetAttr
from numpy.typing import NDArray

from core.schemas.recipe import Recipe
from trainer.ahead import Waits
from trainer.batches import balanced_chances
from trainer.framework import Callbacks, State, TrainingData
from trainer.frameworks._fastai_phases import (
    PhaseRun,
    Plain,
    frozen_groups,
    own_optimizer,
    split_groups,
    starting_rate,
    with_own_numbers,
)
from trainer.frameworks._torch_data import ArrayDataset, MatchedLoader, SequentialLoader
from trainer.frameworks._torch_freezing import freeze
from trainer.frameworks._torch_model import TorchFramework, TorchModel
from trainer.frameworks._torch_network import head_scores
from trainer.frameworks._torch_optimizers import given, shared_optimizer
from trainer.frameworks._torch_training import (
    HeadLoss,
    Means,
    Ticker,
    pack,
    reduced_precision,
    restore_network,
    restore_random,
)
from trainer.frameworks._torch_workers import own_words
from trainer.phases import Phase, remaining

CPU = torch.device("cpu")


class FastaiFramework(TorchFramework):
    """`Framework` in fastai."""

    name = "fastai"

    def fit(self, model: TorchModel, data: TrainingData, recipe: Recipe, callbacks: Callbacks) -> None:
        """Trains in place; both pipelines continue a checkpoint bit for bit."""
        with reduced_precision(model.network, recipe), own_words():
            self._fit(model, data, recipe, callbacks)
        model.network.requires_grad_(True)

    def _fit(self, model: TorchModel, data: TrainingData, recipe: Recipe, callbacks: Callbacks) -> None:
        model.classes = data.classes
        torch.manual_seed(model.settings.seed)
        random.seed(model.settings.seed)  # fastai's DataLoader shuffles with it,
        np.random.seed(model.settings.seed)  # and its WeightedDL draws with this one.
        saved = restore_network(model.network, callbacks)
        shared = recipe.pipeline == "shared"
        dls = _shared_loaders(model, data, recipe) if shared else _own_loaders(data, recipe, model.settings.threads)
        dls.device = torch.device(model.settings.device)
        _replay(dls.train, callbacks.resume_epoch)
        restore_random(saved)
        if "python_random" in saved:  # augmentation draws from it
            random.setstate(saved["python_random"])
        loss = HeadLoss(model.architecture.head, data.objective(recipe))
        for phase, epochs in remaining(recipe, model.architecture, callbacks):
            learner = _learner(model, dls, loss, recipe, phase)
            if epochs.start > phase.first:
                _restore(learner, saved)
            saved = {}  # not to be kept in memory to the end
            learner.add_cbs([Reporter(recipe, phase, callbacks)] + [MaskCallback(phase)] * shared)
            done = epochs.start - phase.first
            run = PhaseRun(learner, model.architecture, recipe, phase, done, callbacks)
            with learner.no_bar(), learner.no_logging():
                run.shared() if recipe.arithmetic == "shared" else run.own()

    def first_batch(
        self, model: TorchModel, data: TrainingData, recipe: Recipe
    ) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """See the protocol."""
        torch.manual_seed(model.settings.seed)
        random.seed(model.settings.seed)
        alone = recipe.model_copy(update={"workers": 0})
        images, labels = _own_loaders(data, alone, model.settings.threads).train.one_batch()
        return images.numpy(), labels.numpy()

    def extras(self, model: TorchModel, directory: Path) -> None:
        """Writes `learner.pkl` for `fastai.learner.load_learner`; bakeoff must be importable where it is loaded.

        Its `predict` takes a prepared array, uint8 [height, width, channels] in the network's size, and answers with
        class name, index and probabilities. It takes no image file: no transform in it opens or resizes one.
        """
        # One image tells fastai the types before and after each transform; export leaves it out.
        image, categorize = np.zeros(model.architecture.input_shape, np.uint8), Categorize(model.classes, sort=False)
        items = Datasets(tls=[TfmdLists([image], [tensor]), TfmdLists([model.classes[0]], [categorize])])
        dls = items.dataloaders(bs=model.settings.recipe.batch, device=CPU)
        learner = Learner(dls, model.network, HeadLoss(model.architecture.head))
        learner.export((directory / "learner.pkl").absolute())


class MaskCallback(Plain):
    """Takes the dropout masks out of a matched batch and gives them to the network."""

    order = -20

    def __init__(self, phase: Phase) -> None:
        self.phase = phase

    def before_train(self) -> None:
        self.dls.train.epoch = self.phase.first + self.epoch

    def before_batch(self) -> None:
        if self.training:
            images, masks = self.xb
            self.learn.xb = (images,)
            self.model.give_masks(masks)


class TimedLoader(GetAttr):
    """A loader that counts how long its batches were waited for."""

    _default = "loader"

    def __init__(self, loader: Any, means: Means) -> None:
        self.loader = loader
        self.means = means

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Waits[Any]:
        self.means.waits = Waits(self.loader)
        return self.means.waits


class Reporter(Plain):
    """Running means of both passes, and what the callbacks want to hear."""

    order = 80
    """After SkipToEpoch: an epoch that is skipped ends before it reports."""

    def __init__(self, recipe: Recipe, phase: Phase, callbacks: Callbacks) -> None:
        self.recipe = recipe
        self.phase = phase
        self.callbacks = callbacks

    def before_train(self) -> None:
        self.learn.loss_func.train()
        self.ticker = Ticker(self.callbacks, self.phase.first + self.epoch, len(self.dls.train))
        self.train_means = Means()
        self.learn.dl = TimedLoader(self.dl, self.train_means)

    def before_validate(self) -> None:
        self.learn.loss_func.eval()
        self.validation_means = Means()

    def after_batch(self) -> None:
        means = self.train_means if self.training else self.validation_means
        loss = self.loss.item()
        means.add(loss, head_scores(self.model.head, self.pred), *self.yb)
        if self.training:
            self.ticker.step(self.iter + 1, self.train_means, loss)
        else:
            self.ticker.validating()

    def after_validate(self) -> None:
        metrics = self.ticker.metrics(self.train_means, self.validation_means)
        self.callbacks.epoch(metrics, partial(_checkpoint, self.learn, self.recipe))

    def after_epoch(self) -> None:
        if self.callbacks.stopped:
            raise CancelFitException


def _learner(model: TorchModel, dls: DataLoaders, loss: HeadLoss, recipe: Recipe, phase: Phase) -> Learner:
    default = recipe.pipeline == "framework"
    if recipe.arithmetic == "shared":
        freeze(model.architecture, model.network, phase)
        optimizer = partial(_wrap, model, recipe, phase)
        splitter = trainable_params
    else:
        optimizer, splitter = own_optimizer(recipe), partial(split_groups, model.architecture, recipe)
    learner = Learner(
        dls,
        model.network,
        loss_func=loss,
        opt_func=optimizer,
        splitter=splitter,
        # The shared pipeline needs no recorder: the reporter keeps the same figures for every framework.
        cbs=None if default else TrainEvalCallback(),
        default_cbs=default,
        **given(lr=starting_rate(recipe)),
    )
    learner.create_opt()
    if recipe.freeze and recipe.arithmetic == "framework":
        learner.freeze_to(frozen_groups(model.architecture, recipe, phase))
    return learner


class SharedLoaders(DataLoaders):
    """Loaders that leave everything on the CPU."""

    device = CPU


def _shared_loaders(model: TorchModel, data: TrainingData, recipe: Recipe) -> DataLoaders:
    train = MatchedLoader(data.train, model.architecture, model.settings.seed, recipe)
    return SharedLoaders(train, SequentialLoader(data.validation, recipe.batch))


def _own_loaders(data: TrainingData, recipe: Recipe, threads: int) -> DataLoaders:
    if data.originals is None and not recipe.augmentation.active:
        return _fastai_loaders(data, recipe)
    # fastai.vision imports torchvision: many a training does without.
    from trainer.frameworks import _fastai_vision

    return _fastai_vision.loaders(data, recipe, threads)


def _fastai_loaders(data: TrainingData, recipe: Recipe) -> DataLoaders:
    train, valid = (ArrayDataset(split) for split in (data.train, data.validation))
    drawn = {"dl_type": WeightedDL, "wgts": (balanced_chances(data.train.labels), None)}
    kwargs = drawn if recipe.sampler == "weighted" else {}
    dls = DataLoaders.from_dsets(train, valid, bs=recipe.batch, num_workers=0, device=CPU, **kwargs)
    # fastai drops the last partial batch; of a split smaller than one batch nothing would be left.
    if len(train) < recipe.batch:
        dls.train.drop_last = False
    return dls


def _wrap(model: TorchModel, recipe: Recipe, phase: Phase, parameters: Any, lr: float) -> OptimWrapper:
    """The canonical optimiser over its own parameter groups, whatever fastai splits."""
    named = with_own_numbers(recipe.optimizer).model_copy(update={"learning_rate": lr})
    spec = recipe.model_copy(update={"optimizer": named})
    return OptimWrapper(opt=shared_optimizer(model.architecture, model.network, spec, phase))


def _checkpoint(learner: Learner, recipe: Recipe) -> State:
    # Rates and momenta are left out: fit sets them, by epoch.
    own = {} if recipe.pipeline == "shared" else {"python_random": random.getstate()}
    states = {"network": learner.model.state_dict(), "optimizer": learner.opt.state_dict()["state"]}
    return pack(recipe, {**states, **own}, learner.dls.device.type)


def _restore(learner: Learner, saved: dict[str, Any]) -> None:
    # A checkpoint is read to the CPU, and fastai's optimisers leave a state where it is.
    state = to_device(saved["optimizer"], learner.dls.device)
    learner.opt.load_state_dict({**learner.opt.state_dict(), "state": state})


def _replay(loader: Any, epochs: int) -> None:
    """What the finished epochs drew from the loader's own generator."""
    if isinstance(loader, DataLoader):
        for _ in range(epochs):
            loader.randomize()
            loader.get_idxs()


FRAMEWORK = FastaiFramework()
