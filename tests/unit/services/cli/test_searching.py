"""What `bakeoff run` says of a search. TEST DATA: no trial here was trained."""

import pytest

from core.schemas.search import SearchOutcome, SearchPlan, Trial
from services.cli.experiment import failed_trials

PLAN = SearchPlan.model_validate(
    {"arm": "net", "framework": "keras", "method": "grid", "space": {"recipe.batch_size": [16, 32, 64]}}
)


def outcome(*reasons: str) -> SearchOutcome:
    """A search with a trial for each reason; those without one are complete."""
    trials = [
        Trial(
            number=number,
            arm=f"net-t{number}",
            parameters={"recipe.batch_size": 16},
            state="failed" if reason else "complete",
            value=None if reason else 0.9,
            epochs=0 if reason else 1,
            reason=reason,
        )
        for number, reason in enumerate(reasons)
    ]
    best = next((trial.number for trial in trials if trial.state == "complete"), None)
    return SearchOutcome(plan=PLAN, trials=tuple(trials), best=best)


@pytest.mark.parametrize(
    ("reasons", "line"),
    [
        (("", "", ""), ""),
        (("", "out of memory", "disk full"), "search: 2 of 3 trials failed, the first, net-t1: out of memory"),
        (("out of memory", "disk full"), ""),
    ],
)
def test_a_search_says_how_many_trials_failed_unless_it_failed_itself(reasons: tuple[str, ...], line: str) -> None:
    assert failed_trials(outcome(*reasons)) == line
