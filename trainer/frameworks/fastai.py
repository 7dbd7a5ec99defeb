"""fastai: a `Learner`, fed the shared batches at a constant rate, or its own loaders in `fit_one_cycle`.

What `framework` and None mean here, all of it fastai's own:
- initializer: torch's, because a Learner leaves the weights of a module it is given alone.
- pipeline: a `DataBlock` over the originals with `Resize` and `aug_transforms` (arrays without augmentation:
  `DataLoaders.from_dsets`), shuffled, the last partial batch dropped; `fit_one_cycle`, its rate the cycle's largest
  (default 1e-3), momentum 0.95 → 0.85 → 0.95 unless the recipe names one, which then stays constant.
- optimizer: fastai's Adam (β 0.9 and 0.99, ε 1e-5, decoupled weight decay 0.01) and SGD (no momentum, no decay).
- batch norm: torch's, momentum 0.1, which is 0.9 here, and ε 1e-5.
- arithmetic: fastai's optimisers, whose weight decay spares biases and batch norm.
"""

import random
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from fastai.callback import progress as _progress  # noqa: F401  adds no_bar to Learner
from fastai.callback import schedule as _schedule  # noqa: F401  adds fit_one_cycle to Learner
from fastai.callback.core import Callback, TrainEvalCallback
from fastai.data.core import DataLoaders
from fastai.data.load import DataLoader
from fastai.learner import Learner
from fastai.optimizer import SGD, OptimWrapper
from fastai.optimizer import Adam as FastaiAdam
from fastcore.basics import getcallable
from numpy.typing import NDArray

from core.prepared import Split
from core.schemas.recipe import Adam, Recipe, Sgd
from trainer.ahead import Waits
from trainer.framework import Callbacks, State, TrainingData
from trainer.frameworks._torch_data import ArrayDataset, MatchedLoader, SequentialLoader
from trainer.frameworks._torch_model import TorchFramework, TorchModel
from trainer.frameworks._torch_network import head_scores
from trainer.frameworks._torch_training import HeadLoss, Means, Ticker, given, pack, shared_optimizer, unpack

CPU = torch.device("cpu")


class FastaiFramework(TorchFramework):
    """`Framework` in fastai."""

    name = "fastai"

    def fit(self, model: TorchModel, data: TrainingData, recipe: Recipe, callbacks: Callbacks) -> None:
        """Trains in place; both pipelines continue a checkpoint bit for bit."""
        model.classes = data.classes
        torch.manual_seed(model.settings.seed)
        random.seed(model.settings.seed)  # fastai's DataLoader shuffles with it
        learner = _learner(model, data, recipe)
        learner.create_opt()
        if callbacks.resume is not None:
            _restore(learner, callbacks.resume, callbacks.resume_epoch)
        reporter = Reporter(recipe, callbacks)
        with learner.no_bar(), learner.no_logging():
            if recipe.pipeline == "shared":
                learner.fit(recipe.epochs, cbs=[MaskCallback(), reporter], start_epoch=callbacks.resume_epoch)
            else:
                cycle = {"cbs": reporter, "start_epoch": callbacks.resume_epoch}
                learner.fit_one_cycle(recipe.epochs, recipe.optimizer.learning_rate, moms=_momenta(recipe), **cycle)

    def first_batch(
        self, model: TorchModel, data: TrainingData, recipe: Recipe
    ) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """See the protocol."""
        torch.manual_seed(model.settings.seed)
        random.seed(model.settings.seed)
        images, labels = _own_loaders(data, recipe).train.one_batch()
        return images.numpy(), labels.numpy()

    def extras(self, model: TorchModel, directory: Path) -> None:
        """Writes `learner.pkl` for `fastai.learner.load_learner`; bakeoff must be importable where it is loaded."""
        # One item tells fastai the types of a batch; export leaves it out.
        item = Split(np.zeros((1, *model.architecture.input_shape), np.uint8), np.zeros(1, np.int64))
        dls = _fastai_loaders(TrainingData(item, item, model.classes), model.settings.recipe)
        learner = Learner(dls, model.network, HeadLoss(model.architecture.head))
        learner.export((directory / "learner.pkl").absolute())


class Plain(Callback):
    """A callback whose exceptions leave `Learner.fit` as they are: fastai rewrites the message of any but its own."""

    def __call__(self, event_name: str) -> Any:
        return getcallable(self, event_name)()


class MaskCallback(Plain):
    """Takes the dropout masks out of a matched batch and gives them to the network."""

    order = -20

    def before_train(self) -> None:
        self.dls.train.epoch = self.epoch + 1

    def before_batch(self) -> None:
        if self.training:
            images, masks = self.xb
            self.learn.xb = (images,)
            self.model.give_masks(masks)


class Reporter(Plain):
    """Running means of both passes, and what the callbacks want to hear."""

    order = 80
    """After SkipToEpoch: an epoch that is skipped ends before it reports."""

    def __init__(self, recipe: Recipe, callbacks: Callbacks) -> None:
        self.recipe = recipe
        self.callbacks = callbacks

    def before_train(self) -> None:
        self.ticker = Ticker(self.callbacks, self.epoch + 1, len(self.dls.train))
        self.train_means = Means()
        self.train_means.waits = self._waits = Waits[Any](())
        self._idle = perf_counter()

    def before_batch(self) -> None:
        if self.training:
            self._waits.seconds += perf_counter() - self._idle

    def before_validate(self) -> None:
        self.validation_means = Means()

    def after_batch(self) -> None:
        means = self.train_means if self.training else self.validation_means
        means.add(self.loss.item(), head_scores(self.model.head, self.pred), *self.yb)
        if self.training:
            self.ticker.step(self.iter + 1, self.train_means)
            self._idle = perf_counter()
        else:
            self.ticker.validating()

    def after_validate(self) -> None:
        self.ticker.finish(self.train_means, self.validation_means, partial(_checkpoint, self.learn, self.recipe))


def _learner(model: TorchModel, data: TrainingData, recipe: Recipe) -> Learner:
    shared = recipe.pipeline == "shared"
    dls = _shared_loaders(model, data, recipe) if shared else _own_loaders(data, recipe)
    return Learner(
        dls,
        model.network,
        loss_func=HeadLoss(model.architecture.head),
        opt_func=_opt_func(recipe),
        # The shared pipeline needs no recorder: the reporter keeps the same figures for every framework.
        cbs=TrainEvalCallback() if shared else None,
        default_cbs=not shared,
        **given(lr=recipe.optimizer.learning_rate),
    )


class SharedLoaders(DataLoaders):
    """Loaders that leave everything on the CPU."""

    device = CPU


def _shared_loaders(model: TorchModel, data: TrainingData, recipe: Recipe) -> DataLoaders:
    train = MatchedLoader(data.train, model.architecture, model.settings.seed, recipe.batch_size, recipe.augmentation)
    return SharedLoaders(train, SequentialLoader(data.validation, recipe.batch_size))


def _own_loaders(data: TrainingData, recipe: Recipe) -> DataLoaders:
    if data.originals is None and not recipe.augmentation.active:
        return _fastai_loaders(data, recipe)
    # fastai.vision imports torchvision: many a training does without.
    from trainer.frameworks import _fastai_vision

    return _fastai_vision.loaders(data, recipe)


def _fastai_loaders(data: TrainingData, recipe: Recipe) -> DataLoaders:
    train, valid = (ArrayDataset(split, data.classes) for split in (data.train, data.validation))
    dls = DataLoaders.from_dsets(train, valid, bs=recipe.batch_size, num_workers=0, device=CPU)
    # fastai drops the last partial batch; of a split smaller than one batch nothing would be left.
    if len(train) < recipe.batch_size:
        dls.train.drop_last = False
    return dls


def _opt_func(recipe: Recipe) -> Any:
    spec = recipe.optimizer
    if recipe.arithmetic == "shared":
        return partial(_wrap, spec)
    if isinstance(spec, Adam):
        return partial(FastaiAdam, **given(mom=spec.beta_1, sqr_mom=spec.beta_2, eps=spec.epsilon))
    return partial(SGD, **given(mom=spec.momentum))


def _wrap(spec: Adam | Sgd, parameters: Any, lr: float) -> OptimWrapper:
    return OptimWrapper(parameters, partial(shared_optimizer, spec=spec.model_copy(update={"learning_rate": lr})))


def _momenta(recipe: Recipe) -> tuple[float, float, float] | None:
    """A momentum somebody wrote stays constant through the cycle; None: fastai's cycle."""
    spec = recipe.optimizer
    momentum = spec.beta_1 if isinstance(spec, Adam) else spec.momentum
    return None if momentum is None else (momentum, momentum, momentum)


def _checkpoint(learner: Learner, recipe: Recipe) -> State:
    # Rates and momenta are left out: fit sets them, by epoch.
    own = {} if recipe.pipeline == "shared" else {"python_random": random.getstate()}
    states = {"network": learner.model.state_dict(), "optimizer": learner.opt.state_dict()["state"]}
    return pack(recipe, {**states, **own})


def _restore(learner: Learner, state: State, epochs: int) -> None:
    content = unpack(state)
    learner.model.load_state_dict(content["network"])
    learner.opt.load_state_dict({**learner.opt.state_dict(), "state": content["optimizer"]})
    if isinstance(learner.dls.train, DataLoader):
        for _ in range(epochs):  # what the finished epochs drew from the loader's own generator
            learner.dls.train.randomize()
            learner.dls.train.get_idxs()
    if "python_random" in content:  # augmentation draws from it
        random.setstate(content["python_random"])


FRAMEWORK = FastaiFramework()
