"""What `bakeoff run` says of a search. TEST DATA: no trial here was trained."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from core.schemas.search import SearchOutcome, SearchPlan, Trial
from services.cli.experiment import failed_trials
from services.cli.main import app
from services.cli.stack import Stack
from services.orchestrator.experiment_file import read_experiment
from services.orchestrator.search_lock import alone

PLAN = SearchPlan.model_validate(
    {"arm": "net", "framework": "keras", "method": "grid", "space": {"recipe.batch_size": [16, 32, 64]}}
)
EXPERIMENT = """\
name: searching
title: Searching
data:
  source: {kind: digits}
  image: {height: 8, width: 8, color: grey}
arms: {net: {architecture: digits-cnn, recipe: {epochs: 1}}}
frameworks: [keras]
loadtest: null
search: {arm: net, framework: keras, method: grid, space: {recipe.batch_size: [16, 32]}}
"""


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


def test_a_search_that_another_command_runs_is_refused_before_any_service_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BAKEOFF_HOME", str(tmp_path))
    monkeypatch.setenv("BAKEOFF_TRACKING", "off")
    monkeypatch.setattr(Stack, "start", lambda *_: pytest.fail("a service is started"))
    file = tmp_path / "searching.yaml"
    file.write_text(EXPERIMENT)
    with alone(read_experiment(file), tmp_path):
        ended = CliRunner().invoke(app, ["run", str(file)])
    assert ended.exit_code == 1
    assert "runs the search of searching; wait for its end, or stop it and run this again" in ended.stderr
