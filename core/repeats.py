"""Which artefacts the repeats of a load test can tell apart.

Two artefacts are separable where each was measured at least three times and every repeat of one beats every repeat of
the other. The repeats are interleaved, so a slow minute of the machine hits all artefacts. Of equal artefacts, two
with three repeats each come out like that by luck once in ten times (2 / C(6, 3)), with five once in 126. One run
each has no spread: then only a factor of two counts as a difference, a margin that is chosen and not measured.
"""

from collections.abc import Callable, Sequence
from statistics import median
from typing import get_args

from core.schemas.loads import Load, PercentileName

REPEATS_NEEDED = 3
FACTOR = 2.0
"""Between single runs, smaller ratios are not called a difference."""
Figures = Callable[[Load], tuple[float, ...]]
"""One figure for each repeat of a load test; less is better, but of throughput."""


def percentile(name: PercentileName) -> Figures:
    """Milliseconds."""
    return lambda load: load.percentile_runs(name)


p50, p90, p95, p99, p999 = map(percentile, get_args(PercentileName))


def throughput(load: Load) -> tuple[float, ...]:
    """Images per second: to be shown; repeats are told apart by `seconds_per_image`."""
    return load.throughput_runs


def seconds_per_image(load: Load) -> tuple[float, ...]:
    """The inverse of throughput; infinite where nothing was answered."""
    return tuple(1 / value if value else float("inf") for value in load.throughput_runs)


def cpu_ms(load: Load) -> tuple[float, ...]:
    """Milliseconds of server CPU for an image; empty where it was not told."""
    return load.cpu_runs


def typical(load: Load, figures: Figures) -> float:
    """Median over the repeats: what artefacts are ranked by, and what every table and chart but that of the load tests
    shows."""
    return median(figures(load))


def typical_cpu(load: Load) -> float | None:
    """Median CPU milliseconds for an image; None where the server did not tell."""
    return typical(load, cpu_ms) if load.cpu_runs else None


def apart(first: Sequence[float], second: Sequence[float]) -> bool | None:
    """Whether the ranges of two sets of repeats do not overlap; None where one of them has too few to have a range."""
    if min(len(first), len(second)) < REPEATS_NEEDED:
        return None
    return max(first) < min(second) or max(second) < min(first)


def separable(better: Load, worse: Load, figures: Figures) -> bool:
    """Whether the first is shown to beat the second."""
    low, high = figures(better), figures(worse)
    known = apart(low, high)
    if known is not None:
        return known and max(low) < min(high)
    return FACTOR * median(low) < median(high)


def repeated(loads: Sequence[Load], figures: Figures) -> bool:
    """True where all were measured often enough to know their spread."""
    return all(len(figures(load)) >= REPEATS_NEEDED for load in loads)
