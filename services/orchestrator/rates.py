"""Which rates a saturation curve and a search measure. Pure: the same measurements give the same next rate."""

from collections.abc import Collection, Mapping

from core.rates import highest_passed

LOWEST, HIGHEST = 0.2, 1.1
"""Shares of the closed loop's throughput a sweep spans."""
START = 0.5
"""Where a search begins that knows nothing."""
STEP = 1.5
PRECISION = 1.05
"""A search ends when the rate that failed is no more than this times the one that passed."""
MOST_POINTS = 12


def rounded(rate: float) -> float:
    """Three significant digits: a rate people can type."""
    return float(f"{rate:.3g}")


def sweep_rates(sweep: int | tuple[float, ...], capacity: float) -> tuple[float, ...]:
    """Queries per second, ascending. A number of rates is spread evenly around the capacity."""
    if not isinstance(sweep, int):
        return tuple(sorted(set(sweep)))
    step = (HIGHEST - LOWEST) / (sweep - 1)
    return tuple(sorted({rounded(capacity * (LOWEST + number * step)) for number in range(sweep)}))


def next_rate(measured: Mapping[float, bool], capacity: float, swept: Collection[float] = ()) -> float | None:
    """The rate a search measures next; None when it is done.

    Args:
        measured: rate to whether its p99 was within the bound. A rate above one that failed is not trusted to pass.
        capacity: queries per second of the closed loop, for a start.
        swept: rates of a saturation curve; they are known, and are no points of the search.
    """
    if len(measured.keys() - set(swept)) >= MOST_POINTS:
        return None
    passed, failed = highest_passed(measured)
    if passed is None:
        guess = capacity * START if failed is None else failed / STEP
    elif failed is None:
        guess = passed * STEP
    elif failed <= passed * PRECISION:
        return None
    else:
        guess = (passed * failed) ** 0.5
    rate = rounded(guess)
    return None if rate in measured or rate <= 0 else rate
