"""Repeats over seeds, and when two accuracies differ."""

import statistics
from collections.abc import Sequence

from core.schemas.summary import Group, Spread
from evaluator import text

Interval = tuple[float, float]


def spread(values: Sequence[float]) -> Spread | None:
    """Mean, sample standard deviation and extremes; None for no values."""
    if not values:
        return None
    return Spread(
        count=len(values),
        mean=statistics.fmean(values),
        std=statistics.stdev(values) if len(values) > 1 else None,
        minimum=min(values),
        maximum=max(values),
    )


def overlap(first: Interval, second: Interval) -> bool:
    """True when two intervals share a value: then no difference is shown.

    A cautious rule: intervals that overlap a little may still belong to different accuracies, intervals apart hardly
    to equal ones.
    """
    return first[0] <= second[1] and second[0] <= first[1]


def between_frameworks(groups: Sequence[Group]) -> float | None:
    """Largest difference of mean accuracies; None for fewer than two frameworks."""
    means = [group.accuracy.mean for group in groups if group.accuracy]
    return max(means) - min(means) if len(means) > 1 else None


def between_seeds(groups: Sequence[Group]) -> float | None:
    """Largest range of one framework's accuracies; None where every framework has one seed."""
    ranges = [group.accuracy.range for group in groups if group.accuracy and group.accuracy.count > 1]
    return max(ranges) if ranges else None


def finding(frameworks: float | None, seeds: float | None) -> str:
    """What the spread between frameworks and the spread between seeds say together."""
    if frameworks is None:
        return "One framework was scored, so there is nothing to compare it with."
    apart = f"The frameworks’ mean accuracies lie within {text.points(frameworks)}"
    if seeds is None:
        return f"{apart}. There is one seed, so the spread between seeds is not known."
    if frameworks <= seeds:
        return f"{apart}, no more than the {text.points(seeds)} between seeds of one framework: no difference shown."
    return f"{apart}, more than the {text.points(seeds)} between seeds of one framework."
