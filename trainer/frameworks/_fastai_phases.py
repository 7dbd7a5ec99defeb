"""fastai's way through the phases of a training: optimisers, parameter groups, schedules."""

from dataclasses import dataclass
from functools import partial
from inspect import signature
from math import floor
from typing import Any

import numpy as np
from fastai.callback import schedule as _schedule  # noqa: F401  adds fit_one_cycle to Learner
from fastai.callback.core import Callback
from fastai.callback.schedule import ParamScheduler, SchedCos, SchedExp
from fastai.learner import Learner
from fastai.optimizer import SGD
from fastai.optimizer import Adam as FastaiAdam
from fastcore.basics import getcallable

from core.schemas.recipe import Adam, AdamW, Recipe, Sgd
from core.schemas.schedule import Cosine, Exponential, OneCycle, StepDecay
from trainer.framework import Callbacks
from trainer.frameworks._torch_freezing import set_training
from trainer.frameworks._torch_network import Network
from trainer.frameworks._torch_optimizers import SharedRates, given
from trainer.frameworks._torch_weights import slots
from trainer.layers import Architecture
from trainer.phases import Phase, fixed_norms, rate_groups, trunk_layer

FASTAI_NAMES = {"beta_1": "mom", "beta_2": "sqr_mom", "epsilon": "eps"}
"""A recipe's names of Adam's numbers and fastai's."""
FINE_TUNE_RATE = 2e-3
FROZEN_CYCLE = {"pct_start": 0.99}
THAWED_CYCLE = {"pct_start": 0.3, "div": 5.0}
THAWED_RATE = 0.5
"""Of Learner.fine_tune: its rate where none is given, and the share of it once everything learns."""


def starting_rate(recipe: Recipe) -> float | None:
    """The rate a Learner starts from; None: its own default, that of fit_one_cycle."""
    rate = recipe.optimizer.learning_rate
    return FINE_TUNE_RATE if rate is None and fine_tuned(recipe) else rate


def fine_tuned(recipe: Recipe) -> bool:
    """Whether a training is what fastai has `fine_tune` for, with whoever's arithmetic: frozen layers, then a cycle of
    all of them."""
    return recipe.schedule is None and 0 < sum(stage.epochs for stage in recipe.freeze) < recipe.epochs


class Plain(Callback):
    """A callback whose exceptions leave `Learner.fit` as they are: fastai rewrites the message of any but its own."""

    def __call__(self, event_name: str) -> Any:
        return getcallable(self, event_name)()


class RateCallback(Plain):
    """Sets the shared rates before every step."""

    order = 60

    def __init__(self, rates: SharedRates, phase: Phase, callbacks: Callbacks) -> None:
        self.rates, self.phase, self.callbacks = rates, phase, callbacks

    def before_train(self) -> None:
        self.rates.begin(self.phase.first + self.epoch, self.callbacks.history)

    def before_batch(self) -> None:
        if self.training:
            self.rates.before_step(self.iter)


class FixedNorms(Plain):
    """Keeps batch norms of fixed layers in inference mode."""

    order = 10
    """After TrainEvalCallback."""

    def __init__(self, paths: tuple[str, ...]) -> None:
        self.paths = paths

    def before_train(self) -> None:
        set_training(self.model, self.paths)


@dataclass(frozen=True)
class HyperGroups:
    """fastai's own optimiser with its rates where torch's has them."""

    param_groups: Any


@dataclass(frozen=True)
class PhaseRun:
    """The rest of one phase, for one learner."""

    learner: Learner
    architecture: Architecture
    recipe: Recipe
    phase: Phase
    done: int
    """Epochs of the phase that a resumed training has behind it."""
    callbacks: Callbacks

    def shared(self) -> None:
        """Trains with the canonical optimiser and the shared rates."""
        optimizer, schedule = self.learner.opt.opt, self.recipe.schedule
        rates = [group["lr"] for group in optimizer.param_groups]
        extra: list[Callback] = [FixedNorms(fixed_norms(self.architecture, self.phase))]
        if schedule is None:
            share, shape = self._habit
            self._one_cycle([rate * share for rate in rates], extra, **shape)
            return
        if schedule.name != "constant":
            extra.append(self._shared_rates(optimizer))
        self._fit(rates, extra)

    def own(self) -> None:
        """Trains with fastai's optimiser and its schedules."""
        learner, schedule = self.learner, self.recipe.schedule
        if schedule is None:
            share, shape = self._habit
            self._one_cycle(self._rates(share), [], **shape)
            return
        rates = self._rates()
        learner.opt.set_hyper("lr", rates)
        base = np.array([hyper["lr"] for hyper in learner.opt.hypers])
        match schedule:
            case OneCycle(first=first, final=final, rise=rise):
                div_final = 1.0 / final if final else np.inf
                self._one_cycle(rates, [], div=1.0 / first, div_final=div_final, pct_start=rise)
            case StepDecay(every=every, factor=factor):
                # The small number keeps the division by the epochs from rounding a whole one down.
                epochs = self.phase.epochs
                self._scheduled(rates, lambda share: base * factor ** (floor(share * epochs + 1e-9) // every))
            case Cosine(final=final):
                self._scheduled(rates, SchedCos(base, base * final))
            case Exponential(final=final):
                self._scheduled(rates, SchedExp(base, base * final))
            case _ if schedule.name == "plateau":
                self._fit(rates, [self._shared_rates(HyperGroups(learner.opt.hypers))])
            case _:
                self._fit(rates, [])

    @property
    def _habit(self) -> tuple[float, dict[str, float]]:
        """Share of the rate, and shape of the cycle, where the recipe has no schedule."""
        if not fine_tuned(self.recipe):
            return 1.0, {}
        return (1.0, FROZEN_CYCLE) if self._frozen else (THAWED_RATE, THAWED_CYCLE)

    @property
    def _frozen(self) -> bool:
        return not all(self.phase.trains(node.path) for node in self.architecture.nodes)

    def _rates(self, factor: float = 1.0) -> Any:
        """One rate for all groups that learn, or fastai's slice(low, r) for discriminative ones.

        Its slice(r), a tenth of r for all groups but the last, would be another ratio than the recipe's. Groups that
        are frozen, whose batch norms it trains all the same, keep that tenth.
        """
        rate, ratio = self.learner.lr * factor, self.recipe.discriminative
        if self._frozen:
            frozen = self.learner.opt.frozen_idx
            return [rate / 10] * frozen + [rate] * (len(self.learner.opt.param_lists) - frozen)
        return slice(rate / ratio, rate) if ratio > 1 else rate

    def _shared_rates(self, optimizer: Any) -> RateCallback:
        assert self.recipe.schedule is not None
        rates = SharedRates(optimizer, self.recipe.schedule, self.phase, len(self.learner.dls.train))
        return RateCallback(rates, self.phase, self.callbacks)

    def _fit(self, rates: Any, extra: list[Callback]) -> None:
        self.learner.fit(self.phase.epochs, rates, cbs=extra, start_epoch=self.done)

    def _scheduled(self, rates: Any, rate_at: Any) -> None:
        self._fit(rates, [ParamScheduler({"lr": rate_at})])

    def _one_cycle(self, rates: Any, extra: list[Callback], **shape: float) -> None:
        moms = _momenta(self.recipe)
        self.learner.fit_one_cycle(self.phase.epochs, rates, moms=moms, cbs=extra, start_epoch=self.done, **shape)


def own_optimizer(recipe: Recipe) -> Any:
    """fastai's optimiser function; its Adam decays weights decoupled unless `l2` asks for the coupled way."""
    spec = recipe.optimizer
    coupled: dict[str, Any] = {"wd": recipe.l2, "decouple_wd": False} if recipe.l2 else {}
    if isinstance(spec, Sgd):
        return partial(SGD, **given(mom=spec.momentum), **coupled)
    decay = given(wd=spec.weight_decay) if isinstance(spec, AdamW) else coupled
    return partial(FastaiAdam, **given(**{name: getattr(spec, key) for key, name in FASTAI_NAMES.items()}), **decay)


def with_own_numbers(spec: Adam | AdamW | Sgd) -> Adam | AdamW | Sgd:
    """The same with fastai's numbers where the recipe leaves Adam's open; SGD's and the decay's are torch's too."""
    if isinstance(spec, Sgd):
        return spec
    own = signature(FastaiAdam).parameters
    open_ = {key: own[name].default for key, name in FASTAI_NAMES.items() if getattr(spec, key) is None}
    return spec.model_copy(update=open_)


def split_groups(architecture: Architecture, recipe: Recipe, network: Network) -> list[list[Any]]:
    """Parameters by the groups that learn at a rate of their own: what a Learner calls a splitter."""
    places = rate_groups(recipe, architecture)
    groups: list[list[Any]] = [[] for _ in range(max(places.values()) + 1)]
    for slot in slots(architecture, network):
        if architecture.parameters[slot.key].trainable:
            groups[places[trunk_layer(slot.key)]].append(slot.tensor)
    return groups


def frozen_groups(architecture: Architecture, recipe: Recipe, phase: Phase) -> int:
    """How many of the groups a phase keeps: the number for `Learner.freeze_to`."""
    return len({group for path, group in rate_groups(recipe, architecture).items() if not phase.trains(path)})


def _momenta(recipe: Recipe) -> tuple[float, float, float] | None:
    """A momentum somebody wrote stays constant through the cycle, and so does none of SGD; None: fastai's cycle."""
    spec = recipe.optimizer
    # A cycle would give momentum to torch's SGD, and not to fastai's.
    momentum = spec.momentum or 0.0 if isinstance(spec, Sgd) else spec.beta_1
    return None if momentum is None else (momentum, momentum, momentum)
