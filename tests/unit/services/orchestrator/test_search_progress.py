"""How far a search is, and what tracking hears of it. The services are fakes that answer at once."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from services.orchestrator.reporter import Outcome
from services.orchestrator.steps import Step
from services.orchestrator.tracking.tracker import Tracker
from tests.unit.services.orchestrator.faked_services import Driver
from tests.unit.services.orchestrator.test_reconciler import Silent
from tests.unit.services.orchestrator.tracking.test_tracker import Remembering

SEARCH = "search={arm: matched, framework: keras, method: grid, space: {recipe.batch_size: [16, 32]}, folds: 3}"


class Counting(Silent):
    """Counts steps as a progress bar does."""

    def __init__(self) -> None:
        self.totals: dict[str, int] = {}
        self.done: Counter[str] = Counter()

    def plan(self, totals: dict[str, int]) -> None:
        self.totals |= totals

    def finished(self, step: Step, outcome: Outcome, text: str) -> None:
        self.done[step.group] += 1


@pytest.mark.parametrize("fails", [lambda _: False, lambda spec: getattr(spec, "arm", "") == "matched-t0-f1"])
def test_a_cross_validated_search_ends_at_its_total_and_so_does_a_finished_one_that_is_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: Any
) -> None:
    driver, sinks = Driver(tmp_path, monkeypatch), (Remembering(), Remembering())
    for sink in sinks:
        counting = Counting()
        with Tracker([lambda sink=sink: sink], print) as tracker:  # type: ignore[misc]
            driver.reconciler(fails, [SEARCH], counting, tracker)[1].run()
        assert counting.totals["keras"] == 2 * 3
        assert counting.totals["prepare"] == 3
        assert counting.done == counting.totals
    first, second = ([line.split()[0] for line in sink.told] for sink in sinks)
    assert first[-2:] == second == ["finished", "scored"]


def test_scores_are_told_after_their_training_is_finished_and_again_when_the_experiment_is_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver, sinks = Driver(tmp_path, monkeypatch), (Remembering(), Remembering())
    for sink in sinks:
        with Tracker([lambda sink=sink: sink], print) as tracker:  # type: ignore[misc]
            driver.reconciler(lambda _: False, ["other_split={split: {policy: contiguous}}"], None, tracker)[1].run()
    first, second = (sink.told for sink in sinks)
    finished = {line.split()[1] for line in first[:4]}
    assert [line.split()[0] for line in first] == ["finished"] * 4 + ["scored"] * 5
    assert {line.split()[1] for line in first[4:]} == finished
    assert sorted(line.split()[2] for line in first[4:]) == ["onnx"] * 4 + ["pt2"]
    assert sorted(second) == sorted(first)
