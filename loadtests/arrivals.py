"""When an open loop sends: the arrival times of a Poisson process, the same for the same seed."""

from collections.abc import Iterator

import numpy as np

BLOCK = 4096
STREAM = 1 << 32
"""Keeps these numbers apart from those that choose the images, which are keyed by (seed, caller)."""
NS_PER_S = 1_000_000_000
LONGEST_S = 600.0
"""A window ends then, however few queries it has had: MLPerf's own shortest run."""


def poisson(rate: float, seed: int, repeat: int) -> Iterator[int]:
    """Endless arrival times in nanoseconds after the start, ascending: gaps are exponential with mean 1/rate seconds.

    Philox keyed by (seed, repeat): the same schedule on every machine, another one for every repeat.
    """
    generator = np.random.Generator(np.random.Philox(key=[seed, STREAM + repeat]))
    last = 0.0
    while True:
        times = last + np.cumsum(generator.exponential(1 / rate, BLOCK))
        last = float(times[-1])
        yield from (times * NS_PER_S).astype(np.int64).tolist()


def schedule(rate: float, seed: int, repeat: int, warmup_s: float, duration_s: float, queries: int) -> list[int]:
    """Every arrival of warm-up and window: until the duration has passed and `queries` lie after the warm-up.

    A window grows to LONGEST_S at most, however low the rate.
    """
    opens, closes = warmup_s * NS_PER_S, (warmup_s + duration_s) * NS_PER_S
    last = opens + max(duration_s, LONGEST_S) * NS_PER_S
    found: list[int] = []
    measured = 0
    arrivals = poisson(rate, seed, repeat)
    while (arrival := next(arrivals)) < closes or (measured < queries and arrival < last):
        found.append(arrival)
        measured += arrival >= opens
    return found
