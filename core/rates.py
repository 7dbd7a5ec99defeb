"""What a row of measured rates says about the highest one that holds a bound."""

from collections.abc import Iterable, Mapping

from core.schemas.results import LoadTestResult


def judged(results: Iterable[LoadTestResult]) -> dict[float, bool]:
    """Rate to whether it held the bound: one of its repeats counts at least, and all that count hold it."""
    votes: dict[float, list[bool]] = {}
    for result in results:
        if result.spec.rate is not None:
            counted = votes.setdefault(result.spec.rate, [])
            if result.valid and not result.environment.contended:
                counted.append(bool(result.within_bound))
    return {rate: bool(counted) and all(counted) for rate, counted in votes.items()}


def highest_passed(measured: Mapping[float, bool]) -> tuple[float | None, float | None]:
    """The highest rate that passed below every rate that failed, and the lowest that failed; None where there is none.

    A rate that passed above one that failed is luck: it does not count.
    """
    failed = min((rate for rate, passed in measured.items() if not passed), default=None)
    below = (rate for rate, passed in measured.items() if passed and (failed is None or rate < failed))
    return max(below, default=None), failed
