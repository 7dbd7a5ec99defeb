"""How many queries a percentile takes, and how sure it is: exact binomial statistics, no distribution assumed.

Of n independent queries the number above the q-th percentile of latency is binomial with p = 1 − q/100. The claim
"the q-th percentile is at most b" is made with 99 % confidence where so few queries, k, lie above b that it would
happen with a probability of at most 1 % if the percentile were b: P(Bin(n, p) ≤ k) ≤ 0.01. This is MLPerf LoadGen's
early-stopping criterion (loadgen/early_stopping.cc, tolerance 0); for p99 it takes 459 queries with none above, 662
with one, 2,010 with ten. The bound on a percentile is the corresponding order statistic (Conover, Practical
Nonparametric Statistics, section 3.2).
"""

from functools import lru_cache
from math import ceil, log, log1p
from typing import Protocol

import numpy as np

CONFIDENCE = 0.99
STANDARD = (50.0, 90.0, 95.0, 99.0, 99.9)
"""Percentiles that results state."""


class Histogram(Protocol):
    """What is needed of an HdrHistogram."""

    def get_total_count(self) -> int: ...
    def get_value_at_percentile(self, percentile: float) -> float: ...


def value_at(histogram: Histogram, percentile: float) -> float:
    """The smallest recorded value, in the histogram's unit, that at least so many percent do not exceed: of n the one
    of rank ⌈percentile·n / 100⌉. 0 where nothing was recorded.

    The library rounds to the nearest rank, which is one too low for half of all n; it is asked for a whole rank.
    """
    if not (count := histogram.get_total_count()):
        return 0.0
    # Rounded first: floating point may lie just above a whole rank.
    rank = ceil(round(percentile * count / 100, 6))
    return float(histogram.get_value_at_percentile(100 * rank / count))


@lru_cache(maxsize=4096)
def allowed_over(queries: int, percentile: float) -> int:
    """The most queries that may lie above a bound for the claim that the percentile is within it.

    Returns:
        −1 where even none above would not support the claim: too few queries.
    """
    tail = 1 - percentile / 100
    if queries <= 0:
        return -1
    # The answer is below the mean, so the terms up to it are enough; logarithms, because (1−p)^n underflows.
    counts = np.arange(1, ceil(queries * tail) + 1)
    steps = np.log((queries - counts + 1) / counts) + log(tail) - log1p(-tail)
    terms = np.concatenate([[0.0], np.cumsum(steps)]) + queries * log1p(-tail)
    return int(np.searchsorted(np.cumsum(np.exp(terms)), 1 - CONFIDENCE, side="right")) - 1


def queries_needed(percentile: float, over: int = 0) -> int:
    """The fewest queries that support a percentile with `over` of them above the bound."""
    low, high = 0, 1
    while allowed_over(high, percentile) < over:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if allowed_over(middle, percentile) >= over else (middle, high)
    return high


def supported(queries: int) -> float | None:
    """The highest standard percentile that many queries support; None where not even the median."""
    return max((q for q in STANDARD if allowed_over(queries, q) >= 0), default=None)


def label(percentile: float) -> str:
    """`p99`, `p99.9`."""
    return f"p{percentile:g}"
