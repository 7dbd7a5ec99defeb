"""Why a measurement does not count: what it shows is the generator, not the server."""

from core.schemas.scenarios import LATE_ALLOWED, generator_problem, late_ms
from loadtests.driver import NOT_SENT
from loadtests.recorder import Recorder


def find_problems(recorder: Recorder, bound_ms: float | None) -> tuple[str, ...]:
    """One line per reason; empty for a measurement that counts."""
    found = []
    if not recorder.queries:
        found.append("no query began in the measured window: measure longer, or at a higher rate")
    if (late := recorder.late_share) is not None and late > LATE_ALLOWED:
        found.append(
            f"{late:.1%} of the queries left more than {late_ms(bound_ms):g} ms late, {LATE_ALLOWED:.0%} are allowed: "
            f"the generator could not keep the schedule, at {recorder.generator_cpu:.0%} of a core; "
            "lower the rate, or free a core"
        )
    if dropped := recorder.errors.get(NOT_SENT):
        found.append(f"{dropped} queries were not sent: too many others waited for an answer; lower the rate")
    if busy := generator_problem(recorder.generator_cpu):
        found.append(busy)
    return tuple(found)
