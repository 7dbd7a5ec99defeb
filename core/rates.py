"""What a row of measured rates says about the highest one that holds a bound."""

from collections.abc import Mapping


def highest_passed(measured: Mapping[float, bool]) -> tuple[float | None, float | None]:
    """The highest rate that passed below every rate that failed, and the lowest that failed; None where there is none.

    A rate that passed above one that failed is luck: it does not count.
    """
    failed = min((rate for rate, passed in measured.items() if not passed), default=None)
    below = (rate for rate, passed in measured.items() if passed and (failed is None or rate < failed))
    return max(below, default=None), failed
