from loadtests.problems import find_problems
from loadtests.recorder import Recorder

MS = 1_000_000


def recorder(late: int, punctual: int, bound_ms: float | None = None) -> Recorder:
    found = Recorder(bound_ms)
    found.open(0)
    for _ in range(late):
        found.success(0, 9 * MS, 1, {}, 0, 2 * MS)
    for _ in range(punctual):
        found.success(0, 9 * MS, 1, {}, 0, 0)
    return found


def test_up_to_one_percent_of_late_queries_is_allowed() -> None:
    assert find_problems(recorder(1, 99), None) == ()
    (problem,) = find_problems(recorder(2, 98), None)
    assert problem.startswith("2.0% of the queries left more than 1 ms late, 1% are allowed")


def test_lateness_far_below_the_bound_is_not_held_against_a_measurement() -> None:
    assert find_problems(recorder(50, 50, bound_ms=20), 20) == ()


def test_queries_that_could_not_be_sent_invalidate_a_measurement() -> None:
    found = recorder(0, 10)
    found.failure(0, "NOT_SENT")
    assert find_problems(found, None)[0].startswith("1 queries were not sent")


def test_an_empty_window_is_a_problem() -> None:
    assert find_problems(recorder(0, 0), None)[0].startswith("no query began")


def test_a_generator_at_nine_tenths_of_a_core_measured_itself() -> None:
    found = recorder(0, 10)
    found.generator_cpu = 0.89
    assert find_problems(found, None) == ()
    found.generator_cpu = 0.9
    (problem,) = find_problems(found, None)
    assert problem.startswith("the generator used 90% of a core and was the bottleneck")
