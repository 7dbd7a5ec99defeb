"""Which epoch of a training counts."""

from collections.abc import Sequence

from core.schemas.metrics import EpochMetrics
from core.schemas.recipe import Recipe
from core.schemas.schedule import Monitor


def best_epoch(monitor: Monitor, history: Sequence[EpochMetrics]) -> int:
    """The first epoch, from 1, with the best figure."""
    values = monitored(monitor, history)
    return values.index(min(values)) + 1


def exported_epoch(recipe: Recipe, history: Sequence[EpochMetrics]) -> int:
    """The epoch, from 1, whose weights are exported."""
    return len(history) if recipe.keep_best is None else best_epoch(recipe.keep_best, history)


def monitored(monitor: Monitor, history: Sequence[EpochMetrics]) -> list[float]:
    """The figure by epoch, its sign so that less is better."""
    sign = -1.0 if monitor.endswith("accuracy") else 1.0
    return [sign * getattr(metrics, monitor) for metrics in history]
