"""When a training has diverged: a loss or a weight that is not finite, or a loss beyond all proportion."""

from collections.abc import Callable
from math import isfinite, log

import numpy as np

from core.errors import DivergedError
from core.schemas.metrics import EpochMetrics
from trainer.weights import Weights

EXPLODED = 1000.0
"""Times the larger of the first step's loss and that of a guess: no training that recovers has such an epoch."""


class Divergence:
    """Follows one training's losses and weights."""

    def __init__(self, classes: int, advice: str, first: float | None = None) -> None:
        """`advice`: the end of every message. `first`: the first step's loss, where a training is resumed."""
        self._guess, self._advice, self._place = log(max(classes, 2)), advice, ""
        self.first = first
        """Loss of the training's first step, once it is known."""

    def step(self, epoch: int, done: int, total: int, loss: float) -> None:
        """Raises DivergedError for a loss that is not finite. Hears of the first step of a training always."""
        self._place = f"epoch {epoch}, step {done} of {total}"
        if not isfinite(loss):
            raise self._error(f"loss {loss} at {self._place}")
        if epoch == done == 1:
            self.first = loss

    def epoch(self, metrics: EpochMetrics, weights: Callable[[], Weights]) -> None:
        """Raises DivergedError for losses or weights that no training comes back from; after an epoch's last step."""
        epoch, loss, start = metrics.epoch, metrics.train_loss, max(self.first or 0.0, self._guess)
        place = self._place or f"epoch {epoch}"
        if not isfinite(loss):
            raise self._error(f"loss {loss} at {place}")
        if loss > EXPLODED * start:
            raise self._error(
                f"loss {loss:.6g} at {place} is the epoch's mean, more than {EXPLODED:.0f} times the {start:.6g} it "
                "began with"
            )
        if (key := _broken(weights())) is not None:
            raise self._error(f"weights {key} are not finite after {place}, whose epoch had a mean loss of {loss:.6g}")
        if not isfinite(metrics.validation_loss):
            raise self._error(f"loss {metrics.validation_loss} at the validation of epoch {epoch}, after {place}")

    def _error(self, what: str) -> DivergedError:
        return DivergedError(f"training diverged: {what}; {self._advice}")


def _broken(weights: Weights) -> str | None:
    """The first weights that are not finite."""
    return next((key for key, value in weights.items() if not np.isfinite(value).all()), None)
