from core.rates import highest_passed, judged
from core.schemas.results import LoadTestResult
from tests.unit.evaluator.builder import Experiment, environment


def measured(rate: float, over: int, problems: tuple[str, ...] = (), contended: bool = False) -> LoadTestResult:
    """One repeat of a rate, `over` of whose queries were slower than the bound."""
    one = Experiment(arms=("matched",), frameworks=("keras",), seeds=(0,), rates=(100.0, 200.0))
    (first, *_) = (r for r in one.results if isinstance(r, LoadTestResult) and r.spec.rate is not None)
    spec = first.spec.model_copy(update={"rate": rate})
    changes = {"spec": spec, "over_bound": over, "problems": problems, "environment": environment(contended)}
    return first.model_copy(update=changes)


def test_every_repeat_that_counts_has_to_hold_and_one_has_to_count() -> None:
    late, many = ("2% sent late",), 10_000
    results = [
        *(measured(100, 0), measured(100, 0)),
        *(measured(200, 0), measured(200, many, late)),  # The late one measured the generator.
        *(measured(300, 0), measured(300, many, contended=True)),
        *(measured(400, 0), measured(400, many)),
        measured(500, 0, late),
    ]
    held = judged(results)
    assert held == {100: True, 200: True, 300: True, 400: False, 500: False}
    assert highest_passed(held) == (300, 400)
