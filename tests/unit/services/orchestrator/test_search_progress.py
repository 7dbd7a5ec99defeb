"""Searches from end to end: how far they are, what tracking hears, what is done again. The services answer at once."""

import os
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from core.errors import BakeoffError, DivergedError, InvalidInputError, WrongStateError
from core.schemas.specs import ReportSpec, TrainSpec
from services.orchestrator.experiment_file import MisfitError
from services.orchestrator.reporter import Outcome
from services.orchestrator.search_lock import alone
from services.orchestrator.steps import Step
from services.orchestrator.tracking.tracker import Tracker
from tests.unit.services.orchestrator.faked_services import Driver
from tests.unit.services.orchestrator.test_reconciler import Silent
from tests.unit.services.orchestrator.tracking.test_tracker import Remembering

SEARCH = "search={arm: matched, framework: keras, method: grid, space: {recipe.batch_size: [16, 32]}}"
FOLDS = "search.folds=3"
RATES = (
    "search={arm: matched, framework: keras, method: grid, startup: 2, "
    "space: {recipe.optimizer.learning_rate: [0.01, 0.001, 0.1]}}"
)


def by_rate(spec: TrainSpec) -> Sequence[float]:
    """The last rate of RATES learns nothing."""
    return (0.1, 0.1) if spec.recipe.optimizer.learning_rate == 0.1 else (0.5, 0.9)


class Counting(Silent):
    """Counts steps as a progress bar does."""

    def __init__(self) -> None:
        self.totals: dict[str, int] = {}
        self.done: Counter[str] = Counter()
        self.failed: list[str] = []

    def plan(self, totals: dict[str, int]) -> None:
        self.totals |= totals

    def finished(self, step: Step, outcome: Outcome, text: str) -> None:
        self.done[step.group] += 1
        if outcome == "failed":
            self.failed.append(f"{step.label}: {text}")


@pytest.mark.parametrize(
    ("fails", "told"),
    [
        (lambda _: False, {"finished": 6, "scored": 1}),
        (lambda spec: getattr(spec, "arm", "") == "matched-t0-f1", {"finished": 4, "failed": 1, "scored": 1}),
    ],
)
def test_a_cross_validated_search_ends_at_its_total_and_is_told_to_tracking_again_when_it_is_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: Any, told: dict[str, int]
) -> None:
    driver, sinks = Driver(tmp_path, monkeypatch), (Remembering(), Remembering())
    for sink in sinks:
        counting = Counting()
        with Tracker([lambda sink=sink: sink], print) as tracker:  # type: ignore[misc]
            finished = driver.reconciler(fails, [SEARCH, FOLDS], counting, tracker)[1].run()
        assert counting.totals["keras"] == 2 * 3
        assert counting.totals["prepare"] == 3
        assert counting.done == counting.totals
        assert finished.failed == (), "a trial fails alone"
        assert Counter(line.split()[0] for line in sink.told) == told
    first, second = (sink.told for sink in sinks)
    assert sorted(second) == sorted(first)


def test_a_search_none_of_whose_trials_can_be_trained_is_refused_before_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    services, reconciler = Driver(tmp_path, monkeypatch).reconciler(lambda _: False, [RATES])
    services.refuses = lambda spec: InvalidInputError(f"rate {spec.recipe.optimizer.learning_rate} is odd")
    with pytest.raises(MisfitError) as refused:
        reconciler.run()
    assert [one.key for one in refused.value.misfits] == [("search", "space")]
    path = tmp_path / "file.yaml"
    path.write_text("name: x\narms:\n  space: {}\nsearch:\n  arm: space\n  space: {}\n")
    assert str(refused.value.placed(path)).startswith(f"{path}:6: "), "not the line of an arm of that name"
    assert str(refused.value).endswith("no trial can be trained: rate 0.01 is odd; rate 0.001 is odd; rate 0.1 is odd")
    assert services.asked(TrainSpec) == []


def test_a_search_one_of_whose_trials_can_be_trained_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    driver = Driver(tmp_path, monkeypatch)
    services, reconciler = driver.reconciler(lambda _: False, [RATES])
    asked = []

    def refuses(spec: TrainSpec) -> BakeoffError | None:
        asked.append(rate := spec.recipe.optimizer.learning_rate)
        return None if rate == 0.001 else WrongStateError("keras is not installed here")

    services.refuses = refuses
    reconciler.run()
    assert asked == [0.01, 0.001], "nobody is asked about the rest"
    assert len(services.asked(TrainSpec)) == 3
    again = driver.reconciler(lambda _: False, [RATES])
    again[0].refuses = refuses
    again[1].run()
    assert asked == [0.01, 0.001], "nor once a trial is complete"


def test_a_trial_below_the_median_is_stopped_with_its_worker_and_tracked_as_pruned_at_each_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver, sinks, cancelled = Driver(tmp_path, monkeypatch), (Remembering(), Remembering()), []
    for sink in sinks:
        with Tracker([lambda sink=sink: sink], print) as tracker:  # type: ignore[misc]
            services, reconciler = driver.reconciler(lambda _: False, [RATES], None, tracker)
            services.accuracies = by_rate
            reconciler.run()
        cancelled += [services.specs[run_id].arm for run_id in services.cancelled]
        assert reconciler._outcome
        ended = [(one.state, one.epochs) for one in reconciler._outcome.trials]
        assert ended == [("complete", 2), ("complete", 2), ("pruned", 1)]
    assert cancelled == ["matched-t2"]
    first, second = ([line for line in sink.told if not line.startswith("epoch")] for sink in sinks)
    assert [line.split()[0] for line in first] == ["finished", "finished", "pruned", "scored"]
    assert second == first


def test_a_trial_that_diverged_is_told_as_failed_at_each_start_and_not_trained_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver, sinks, asked = Driver(tmp_path, monkeypatch), (Remembering(), Remembering()), []
    for sink in sinks:
        with Tracker([lambda sink=sink: sink], print) as tracker:  # type: ignore[misc]
            services, reconciler = driver.reconciler(
                lambda spec: DivergedError("loss nan") if getattr(spec, "arm", "") == "matched-t1" else False,
                [SEARCH], None, tracker,
            )  # fmt: skip
            reconciler.run()
        asked.append([spec.arm for spec in services.asked(TrainSpec)])
    first, second = (sink.told for sink in sinks)
    assert asked == [["matched-t0", "matched-t1"], []]
    assert first[1] == "failed loss nan"
    assert second == first


def test_a_search_whose_trials_all_fail_has_failed_and_the_next_start_tries_them_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver, counting = Driver(tmp_path, monkeypatch), Counting()
    services, reconciler = driver.reconciler(lambda spec: isinstance(spec, TrainSpec), [SEARCH], counting)
    finished = reconciler.run()
    (report,) = services.asked(ReportSpec)
    assert finished.failed == report.missing
    assert finished.failed == ("search matched: no trial was completed, the first failed: out of memory",)
    assert counting.failed == [f"matched-t{number} keras s0: out of memory" for number in (0, 1)]
    services, reconciler = driver.reconciler(lambda _: False, [SEARCH])
    assert reconciler.run().failed == ()
    assert [spec.arm for spec in services.asked(TrainSpec)] == ["matched-t0", "matched-t1"]


def test_parameters_that_make_no_arm_are_a_failed_training_and_none_that_tracking_hears_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver, counting, sink = Driver(tmp_path, monkeypatch), Counting(), Remembering()
    with Tracker([lambda: sink], print) as tracker:
        _, reconciler = driver.reconciler(
            lambda _: False, [SEARCH, "search.space={recipe.batch_size: [16, 0]}"], counting, tracker
        )
        assert reconciler.run().failed == ()
    assert counting.done == counting.totals
    assert [line.partition(": ")[0] for line in counting.failed] == ["matched-t1 keras s0"]
    assert [line.split()[0] for line in sink.told] == ["finished", "scored"]


def test_a_best_trial_whose_result_is_gone_is_trained_again_and_no_other_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = Driver(tmp_path, monkeypatch)
    services, reconciler = driver.reconciler(lambda _: False, [SEARCH])
    reconciler.run()
    (report,) = services.asked(ReportSpec)
    results = [driver.store.path("results", trial.run_id) for trial in report.search.trials]
    assert report.search.best == 0
    (results[0] / "result.json").write_text("{")
    (line,) = driver.reconciler(lambda _: False, [SEARCH])[1].run().failed
    assert line.startswith("train matched-t0 keras s0: ")
    assert line.endswith(f"remove {results[0]} to do the step again")
    for result in results:
        shutil.rmtree(result)
    for expected in (["matched-t0"], []):
        counting = Counting()
        services, reconciler = driver.reconciler(lambda _: False, [SEARCH], counting)
        assert reconciler.run().failed == ()
        assert [spec.arm for spec in services.asked(TrainSpec)] == expected
        assert counting.done == counting.totals


def test_a_search_is_run_by_one_command_at_a_time_and_the_other_is_told_by_whom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = Driver(tmp_path, monkeypatch)
    searched, plain = (driver.reconciler(lambda _: False, written)[1].experiment for written in ([SEARCH], []))
    with alone(searched, tmp_path):
        with (
            pytest.raises(WrongStateError, match=rf"^process {os.getpid()} on .+ runs the search of digits; wait for"),
            alone(searched, tmp_path),
        ):
            pytest.fail("two commands run one search")
        with alone(plain, tmp_path):
            pass  # What searches nothing is not held back.
    with alone(searched, tmp_path):
        pass


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
