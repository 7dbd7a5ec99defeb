"""Optimisers of both torch trainings, and the learning rate of every step."""

from collections.abc import Sequence
from math import cos, pi
from typing import Any

import torch

from core.epochs import monitored
from core.schemas.metrics import EpochMetrics
from core.schemas.recipe import Adam, AdamW, Recipe, Sgd
from core.schemas.schedule import Cosine, Exponential, OneCycle, Plateau, Schedule, StepDecay
from trainer.frameworks._torch_network import Network
from trainer.frameworks._torch_weights import slots
from trainer.layers import Architecture
from trainer.phases import Phase
from trainer.schedules import epoch_shares

Group = dict[str, Any]
"""A parameter group; `share` is its part of the learning rate."""


def shared_optimizer(architecture: Architecture, network: Network, recipe: Recipe, phase: Phase) -> Any:
    """The canonical arithmetic, which is torch's: ε after bias correction, heavy-ball momentum without dampening.

    Weight decay, coupled or not, is for kernels alone.
    """
    decay = _decay(recipe)
    groups = _groups(architecture, network, phase, lambda key: decay if key.endswith("/kernel") else 0.0)
    # fused: the same formulas in one pass over each tensor.
    return _optimizer(groups, recipe.optimizer, fused=True)


def own_optimizer(architecture: Architecture, network: Network, recipe: Recipe, phase: Phase) -> Any:
    """torch.optim's class with its own default for every number the recipe leaves open; decays every parameter."""
    return _optimizer(_groups(architecture, network, phase, lambda key: _decay(recipe)), recipe.optimizer)


def given(**values: float | None) -> dict[str, float]:
    """The values that are not None."""
    return {key: value for key, value in values.items() if value is not None}


class SharedRates:
    """The rates of trainer.schedules, set before every step."""

    def __init__(self, optimizer: Any, schedule: Schedule, phase: Phase, steps: int) -> None:
        self._optimizer, self._schedule, self._phase, self._steps = optimizer, schedule, phase, steps
        self._base = [group["lr"] for group in optimizer.param_groups]

    def begin(self, epoch: int, history: Sequence[EpochMetrics]) -> None:
        """Before the first step of an epoch, counted over the whole training."""
        first = self._phase.first
        place = (epoch - first + 1, self._phase.epochs, self._steps)
        self._shares = epoch_shares(self._schedule, *place, history[first - 1 :])

    def before_step(self, index: int) -> None:
        """Before the step of an epoch, from 0."""
        for group, base in zip(self._optimizer.param_groups, self._base, strict=True):
            group["lr"] = base * float(self._shares[index])

    def after_step(self) -> None:
        """Nothing."""

    def after_epoch(self, metrics: EpochMetrics) -> None:
        """Nothing."""

    def state(self) -> dict[str, Any]:
        """Nothing: the rates follow from the epochs done."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Nothing."""


class OwnRates:
    """torch.optim.lr_scheduler as its documentation uses it: a step a batch, or a step an epoch."""

    def __init__(self, optimizer: Any, recipe: Recipe, phase: Phase, steps: int) -> None:
        self._monitor = recipe.schedule.monitor if isinstance(recipe.schedule, Plateau) else None
        self._by_step = isinstance(recipe.schedule, OneCycle | Exponential)
        self._scheduler = _scheduler(optimizer, recipe, phase.epochs, steps)

    def begin(self, epoch: int, history: Sequence[EpochMetrics]) -> None:
        """Nothing."""

    def before_step(self, index: int) -> None:
        """Nothing."""

    def after_step(self) -> None:
        """After the optimiser's step."""
        if self._by_step:
            self._scheduler.step()

    def after_epoch(self, metrics: EpochMetrics) -> None:
        """After validation."""
        if self._monitor is not None:
            self._scheduler.step(monitored(self._monitor, [metrics])[0])
        elif not self._by_step:
            self._scheduler.step()

    def state(self) -> dict[str, Any]:
        """For the checkpoint."""
        state: dict[str, Any] = self._scheduler.state_dict()
        return {key: value for key, value in state.items() if not callable(value)}

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from a checkpoint."""
        self._scheduler.load_state_dict(state)


Rates = SharedRates | OwnRates


def make_rates(optimizer: Any, recipe: Recipe, phase: Phase, steps: int) -> Rates | None:
    """The rates of a phase; None where they never change."""
    schedule = recipe.schedule
    if schedule is None or schedule.name == "constant":
        return None
    if recipe.arithmetic == "shared":
        return SharedRates(optimizer, schedule, phase, steps)
    return OwnRates(optimizer, recipe, phase, steps)


def _decay(recipe: Recipe) -> float:
    if isinstance(recipe.optimizer, AdamW):
        # 0.01 is torch's own.
        return 0.01 if recipe.optimizer.weight_decay is None else recipe.optimizer.weight_decay
    return recipe.l2


def _groups(architecture: Architecture, network: Network, phase: Phase, decay_of: Any) -> list[Group]:
    """Trained parameters by share of the learning rate and decay, in network order."""
    found: dict[tuple[float, float], list[Any]] = {}
    for slot in slots(architecture, network):
        if architecture.parameters[slot.key].trainable and phase.trains(slot.key):
            found.setdefault((phase.share(slot.key), decay_of(slot.key)), []).append(slot.tensor)
    return [{"params": p, "share": share, "weight_decay": decay} for (share, decay), p in found.items()]


def _optimizer(groups: list[Group], spec: Adam | AdamW | Sgd, **options: Any) -> Any:
    options.update(given(lr=spec.learning_rate))
    if isinstance(spec, Sgd):
        made = torch.optim.SGD(groups, **options, **given(momentum=spec.momentum))
    else:
        kind = torch.optim.AdamW if isinstance(spec, AdamW) else torch.optim.Adam
        made = kind(groups, **options, **_adam_options(spec))
    for group in made.param_groups:
        group["lr"] *= group["share"]
    return made


def _adam_options(spec: Adam | AdamW) -> dict[str, Any]:
    options: dict[str, Any] = given(eps=spec.epsilon)
    if spec.beta_1 is not None or spec.beta_2 is not None:
        options["betas"] = (0.9 if spec.beta_1 is None else spec.beta_1, 0.999 if spec.beta_2 is None else spec.beta_2)
    return options


def _scheduler(optimizer: Any, recipe: Recipe, epochs: int, steps: int) -> Any:
    own = torch.optim.lr_scheduler
    rates = [group["lr"] for group in optimizer.param_groups]
    match recipe.schedule:
        case StepDecay(every=every, factor=factor):
            return own.StepLR(optimizer, every, factor)
        case Cosine(final=final) if final and min(rates) < max(rates):
            # CosineAnnealingLR ends at one rate for all groups, which may be above the rate of the first layers.
            return own.LambdaLR(optimizer, lambda epoch: final + (1.0 - final) * 0.5 * (1.0 + cos(pi * epoch / epochs)))
        case Cosine(final=final):
            return own.CosineAnnealingLR(optimizer, epochs, eta_min=final * max(rates))
        case Exponential(final=final):
            return own.ExponentialLR(optimizer, final ** (1.0 / (epochs * steps)))
        case OneCycle(first=first, final=final, rise=rise):
            spec = recipe.optimizer
            momentum = spec.momentum if isinstance(spec, Sgd) else spec.beta_1
            return own.OneCycleLR(
                optimizer,
                rates,
                total_steps=epochs * steps,
                pct_start=_rise(rise, epochs * steps),
                div_factor=1.0 / first,
                final_div_factor=first / final if final else float("inf"),
                # A momentum somebody wrote stays; torch cycles it otherwise.
                cycle_momentum=momentum is None,
            )
        case Plateau(factor=factor, patience=patience, min_delta=min_delta):
            # Less is always better: accuracies come with their sign turned.
            return own.ReduceLROnPlateau(optimizer, "min", factor, patience, min_delta, "abs")
    raise AssertionError(f"{recipe.schedule} needs no scheduler")


def _rise(share: float, steps: int) -> float:
    """The share of the steps on the way up; OneCycleLR divides by zero where that is exactly one step."""
    return share + 1e-9 if share * steps == 1.0 else share
