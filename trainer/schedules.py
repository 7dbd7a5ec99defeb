"""Learning rates of every step and the end of a training, computed once for all frameworks.

Everything here is a function of the recipe and of the epochs done so far, so that a resumed training needs no state of
its own to go on with the same rates and to stop at the same epoch.
"""

from collections.abc import Sequence
from math import inf

import numpy as np
from numpy.typing import NDArray

from core.epochs import monitored
from core.schemas.metrics import EpochMetrics
from core.schemas.schedule import Cosine, EarlyStopping, Exponential, OneCycle, Plateau, Schedule, StepDecay


def epoch_shares(
    schedule: Schedule, epoch: int, epochs: int, steps: int, history: Sequence[EpochMetrics]
) -> NDArray[np.float64]:
    """Learning rates of an epoch's steps as shares of the optimiser's [steps].

    Args:
        epoch: from 1.
        epochs: in all.
        steps: of an epoch.
        history: the epochs before this one; only a plateau looks at it.
    """
    position = ((epoch - 1) * steps + np.arange(steps)) / (epochs * steps)
    match schedule:
        case StepDecay(every=every, factor=factor):
            return np.full(steps, factor ** ((epoch - 1) // every))
        case Cosine(final=final):
            return _anneal(1.0, final, position)
        case Exponential(final=final):
            return np.asarray(final**position)
        case OneCycle(first=first, final=final, rise=rise):
            down = _anneal(1.0, final, (position - rise) / (1.0 - rise))
            return np.where(position < rise, _anneal(first, 1.0, position / rise), down)
        case Plateau(factor=factor):
            return np.full(steps, factor ** reductions(schedule, history))
        case _:
            return np.ones(steps)


def reductions(plateau: Plateau, history: Sequence[EpochMetrics]) -> int:
    """How often the rate was reduced in these epochs: each time the patience was used up, which then starts anew."""
    values = monitored(plateau.monitor, history)
    found, waited, best = 0, 0, inf
    for value in values:
        if value < best - plateau.min_delta:
            best, waited = value, 0
            continue
        waited += 1
        if waited == plateau.patience:
            found, waited = found + 1, 0
    return found


def stops(rule: EarlyStopping | None, history: Sequence[EpochMetrics]) -> bool:
    """Whether a training ends after these epochs."""
    if rule is None:
        return False
    waited, best = 0, inf
    for value in monitored(rule.monitor, history):
        if value < best - rule.min_delta:
            best, waited = value, 0
        else:
            waited += 1
    return waited >= rule.patience


def _anneal(start: float, end: float, position: NDArray[np.float64]) -> NDArray[np.float64]:
    """Half a cosine from `start` at position 0 to `end` at 1."""
    return np.asarray(end + (start - end) * 0.5 * (1.0 + np.cos(np.pi * position)))
