"""What a row of measured rates says about the highest one that holds a bound."""

from collections.abc import Iterable, Mapping
from typing import Literal

from core.schemas.results import LoadTestResult

Limit = Literal["server", "generator", "other work"]


def judged(results: Iterable[LoadTestResult]) -> dict[float, bool]:
    """Rate to whether its repeats held the bound."""
    repeats: dict[float, list[LoadTestResult]] = {}
    for result in results:
        if result.spec.rate is not None:
            repeats.setdefault(result.spec.rate, []).append(result)
    return {rate: held(found) for rate, found in repeats.items()}


def held(repeats: Iterable[LoadTestResult]) -> bool:
    """Whether the repeats of one measurement held the bound: one counts at least, and all that count hold it."""
    counted = [bool(one.within_bound) for one in repeats if counts(one)]
    return bool(counted) and all(counted)


def counts(result: LoadTestResult) -> bool:
    """False where it overlapped with other timed work, or measured the generator and not the server."""
    return result.valid and not result.environment.contended


def failed_for(counted: bool, valid: bool) -> Limit:
    """What a rate that was not held failed for.

    Args:
        counted: whether one of its repeats counts.
        valid: whether one does or would, had it not overlapped with other work.
    """
    return "server" if counted else "other work" if valid else "generator"


def highest_passed(measured: Mapping[float, bool]) -> tuple[float | None, float | None]:
    """The highest rate that passed below every rate that failed, and the lowest that failed; None where there is none.

    A rate that passed above one that failed is luck: it does not count.
    """
    failed = min((rate for rate, passed in measured.items() if not passed), default=None)
    below = (rate for rate, passed in measured.items() if passed and (failed is None or rate < failed))
    return max(below, default=None), failed
