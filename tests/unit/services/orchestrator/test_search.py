"""Searches with Optuna's real storage and made-up trainings: TEST DATA, no figure here was measured."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
import pydantic
import pytest

from core.errors import BakeoffError, CancelledError, DivergedError, NotReadyError
from core.schemas.experiment import Experiment
from core.schemas.recipe import Adam, Sgd
from core.schemas.results import TrainResult
from core.schemas.schedule import Constant, Cosine, Exponential, OneCycle, StepDecay
from core.schemas.search import SearchOutcome, SearchPlan
from core.schemas.specs import TrainSpec
from evaluator.report.search import chart, sentence, table
from services.orchestrator.search import MOST_LISTED, OnEpoch, SearchData, Settled, open_study, search
from services.orchestrator.steps import Step, data_of, train_steps
from tests.unit.evaluator.builder import Experiment as Synthetic

RESULT = next(r for r in Synthetic(frameworks=("keras",), seeds=(0,), load_tests=False).results if r.kind == "train")
DOCUMENT: dict[str, Any] = {
    "name": "small",
    "title": "Small",
    "data": {"source": {"kind": "digits"}, "image": {"height": 8, "width": 8, "color": "grey"}},
    "arms": {"net": {"architecture": "digits-cnn", "recipe": {"epochs": 3}}},
    "frameworks": ["keras"],
}
DIGEST = "digest of the source"
GRID = {
    "arm": "net",
    "framework": "keras",
    "method": "grid",
    "space": {"recipe.batch_size": [16, 32], "recipe.optimizer.learning_rate": [0.1, 0.01]},
}
LOST = BakeoffError("out of memory")
NAN = DivergedError("training diverged: loss nan at epoch 1, step 7 of 34")


def experiment(**plan: Any) -> Experiment:
    return Experiment.model_validate({**DOCUMENT, "search": {**GRID, **plan}})


class Trainer:
    """Gives accuracies by learning rate and batch size, and fails as told."""

    def __init__(self, fails: dict[int, Exception] | None = None) -> None:
        self.arms: list[str] = []
        self.specs: list[TrainSpec] = []
        self._fails = fails or {}

    def __call__(self, step: Step, on_epoch: OnEpoch) -> TrainResult:
        assert isinstance(step.spec, TrainSpec)
        self.arms.append(step.spec.arm)
        self.specs.append(step.spec)
        if error := self._fails.pop(len(self.arms) - 1, None):
            raise error
        recipe = step.spec.recipe
        reached = 0.9 - (recipe.optimizer.learning_rate or 0) - recipe.batch / 1000
        values = [reached * epoch / recipe.epochs for epoch in range(1, recipe.epochs + 1)]
        for epoch, value in enumerate(values, start=1):
            on_epoch(epoch, {"validation_accuracy": value, "train_loss": 1.0})
        return trained(values)


def trained(accuracies: Sequence[float]) -> TrainResult:
    epochs = [
        RESULT.history[0].model_copy(update={"epoch": number, "validation_accuracy": value})
        for number, value in enumerate(accuracies, start=1)
    ]
    return RESULT.model_copy(update={"history": tuple(epochs)})


def inputs(plan: SearchPlan) -> SearchData:
    return SearchData(tuple(str(fold) * 64 for fold in range(plan.folds or 1)), DIGEST)


def run(of: Experiment, trainer: Trainer, folder: Path, settled: Settled = lambda *_: None) -> SearchOutcome:
    assert of.search is not None
    return search(of, of.search, inputs(of.search), trainer, settled, folder)


def opened(of: Experiment, folder: Path) -> optuna.Study:
    assert of.search is not None
    return open_study(of, of.search, inputs(of.search), folder)


def test_cross_validation_trains_each_fold_and_takes_the_mean(tmp_path: Path) -> None:
    trainer = Trainer()
    of = experiment(folds=3, prune=False, space={"recipe.batch_size": [16]})
    found = run(of, trainer, tmp_path)
    assert trainer.arms == ["net-t0-f0", "net-t0-f1", "net-t0-f2"]
    (trial,) = found.trials
    assert trial.folds == pytest.approx([0.883] * 3)
    assert trial.value == pytest.approx(0.883)
    assert trial.epochs == 9
    assert ", standard deviation 0.00 points over 3 folds" in table(found).rows[0][-2]


@pytest.mark.parametrize(("keep_best", "judged"), [(None, 0.6), ("validation_accuracy", 0.8)])
def test_a_trial_is_judged_by_the_epoch_that_it_exports(tmp_path: Path, keep_best: str | None, judged: float) -> None:
    space = {"recipe.batch_size": [16]} | ({"recipe.keep_best": [keep_best]} if keep_best else {})

    def train(step: Step, on_epoch: OnEpoch) -> TrainResult:
        return trained([0.5, 0.8, 0.6])

    of = experiment(prune=False, space=space)
    assert of.search
    (trial,) = search(of, of.search, inputs(of.search), train, lambda *_: None, tmp_path).trials
    assert trial.value == judged


def test_cross_validation_prepares_one_data_set_for_each_fold_with_the_same_test_images() -> None:
    splits = [data.split for data in data_of(experiment(folds=3))]
    assert [(split.folds, split.fold) for split in splits] == [(3, 0), (3, 1), (3, 2)]
    assert len({(split.policy, split.seed, split.test) for split in splits}) == 1


def test_an_interrupted_fold_goes_on_and_finished_ones_are_asked_for_again_by_the_same_names(tmp_path: Path) -> None:
    of = experiment(folds=2, prune=False, space={"recipe.batch_size": [16]})
    with pytest.raises(CancelledError):
        run(of, Trainer({1: CancelledError("interrupted")}), tmp_path)
    again = Trainer()
    found = run(of, again, tmp_path)
    assert again.arms == ["net-t0-f0", "net-t0-f1"]
    assert found.best == 0


def test_a_grid_trains_every_combination_once_and_finds_the_best(tmp_path: Path) -> None:
    found = run(experiment(prune=False), Trainer(), tmp_path)
    combinations = [tuple(trial.parameters.values()) for trial in found.trials]
    assert sorted(combinations) == [(16, 0.01), (16, 0.1), (32, 0.01), (32, 0.1)]
    best = next(trial for trial in found.trials if trial.number == found.best)
    assert best.parameters == {"recipe.batch_size": 16, "recipe.optimizer.learning_rate": 0.01}
    assert best.value == pytest.approx(0.874)


def test_a_finished_search_repeats_nothing(tmp_path: Path) -> None:
    first = run(experiment(), Trainer(), tmp_path)
    again = Trainer()
    assert run(experiment(), again, tmp_path) == first
    assert again.arms == []


class Settling:
    """Remembers trainings there will not be."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def __call__(self, step: Step, outcome: str, text: str, begun: bool) -> None:
        assert step.group == "keras"
        self.told.append(f"{step.label.split()[0]} {outcome}{'' if begun else ', never begun'}: {text}")


def test_every_training_of_a_search_is_counted_once_however_its_trial_ends_and_again_when_it_is_opened_again(
    tmp_path: Path,
) -> None:
    # Trial 0 and 1 are complete, 2 fails in its second fold, 3 makes no valid arm.
    of = experiment(folds=3, prune=False, space={"recipe.batch_size": [16, 32, 64, 0]})
    trainer, settling = Trainer({7: NAN}), Settling()
    run(of, trainer, tmp_path, settling)
    assert len(trainer.arms) == 8
    invalid = ["net-t3-f0 failed, never begun: recipe.batch_size"]
    invalid += [f"net-t3-f{fold} stopped, never begun: recipe.batch_size" for fold in (1, 2)]
    assert settling.told[0] == f"net-t2-f2 stopped, never begun: {NAN}"
    assert [beginning(line) for line in settling.told[1:]] == invalid
    again, told = Trainer(), Settling()
    run(of, again, tmp_path, told)
    assert again.arms == []
    assert told.told[:6] == [f"net-t{number}-f{fold} already done: " for number in range(2) for fold in range(3)]
    assert told.told[6:9] == ["net-t2-f0 already done: ", f"net-t2-f1 failed: {NAN}", settling.told[0]]
    assert told.told[9:] == settling.told[1:]


def beginning(line: str) -> str:
    """Up to the key, without what is wrong with it."""
    return ":".join(line.split(":")[:2])


def test_the_folds_that_a_pruned_trial_leaves_out_are_counted(tmp_path: Path) -> None:
    first, second = Settling(), Settling()
    of = experiment(folds=2, space={"recipe.batch_size": [8, 16, 500]}, startup=2)
    run(of, Trainer(), tmp_path, first)
    assert first.told == ["net-t2-f1 stopped, never begun: its trial was pruned"]
    run(of, Trainer(), tmp_path, second)
    assert second.told[:4] == [f"net-t{number}-f{fold} already done: " for number in range(2) for fold in range(2)]
    assert second.told[4:] == ["net-t2-f0 stopped: its trial was pruned", *first.told]


def test_a_search_with_fewer_trials_than_there_are_counts_no_more_than_it_plans(tmp_path: Path) -> None:
    space = {"recipe.epochs": {"low": 1, "high": 3}}
    run(experiment(method="random", space=space, trials=4), Trainer(), tmp_path)
    settling = Settling()
    run(experiment(method="random", space=space, trials=3), Trainer(), tmp_path, settling)
    assert len(settling.told) == 3


def test_every_trial_of_choices_can_be_listed_and_none_of_ranges(tmp_path: Path) -> None:
    told: list[tuple[Sequence[Step], Sequence[str]]] = []

    def listed(**plan: Any) -> tuple[list[int], Sequence[str]]:
        of = experiment(**plan)
        assert of.search is not None
        check = lambda *found: told.append(found)  # noqa: E731
        search(of, of.search, inputs(of.search), Trainer(), lambda *_: None, tmp_path / str(len(told)), check)
        steps, invalid = told[-1]
        return [step.spec.recipe.batch for step in steps if isinstance(step.spec, TrainSpec)], invalid

    sizes, invalid = listed(space={"recipe.batch_size": [16, 0, 32]})
    assert sizes == [16, 32]
    assert len(invalid) == 1
    assert invalid[0].startswith("recipe.batch_size"), "whatever the trial's number, so that equal reasons are one"
    assert listed(method="random", trials=2, space={"recipe.batch_size": [16, 32]}) == ([16, 32], [])
    rates = {"recipe.optimizer.learning_rate": {"low": 1e-4, "high": 1e-1}}
    assert listed(method="random", trials=2, space=rates) == ([], [])
    assert listed(method="random", trials=2, space={"recipe.batch_size": list(range(1, MOST_LISTED + 2))}) == ([], [])


def test_a_grid_interrupted_while_it_is_enqueued_still_trains_every_combination_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enqueue = optuna.Study.enqueue_trial

    def interrupted(study: optuna.Study, parameters: dict[str, Any]) -> None:
        if len(study.trials) == 2:
            raise KeyboardInterrupt
        enqueue(study, parameters)

    with monkeypatch.context() as patch:
        patch.setattr(optuna.Study, "enqueue_trial", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(experiment(prune=False), Trainer(), tmp_path)
    found = run(experiment(prune=False), Trainer(), tmp_path)
    assert [tuple(trial.parameters.values()) for trial in found.trials] == [
        (16, 0.1), (16, 0.01), (32, 0.1), (32, 0.01)
    ]  # fmt: skip


def test_opening_a_grid_again_enqueues_nothing_twice(tmp_path: Path) -> None:
    # A choice that is listed twice is meant to be trained twice.
    of = experiment(prune=False, space={"recipe.batch_size": [16, 32, 16, 64]})
    first, second = opened(of, tmp_path), opened(of, tmp_path)
    assert len(first.trials) == len(second.trials) == 4
    fails = {0: NAN, 1: CancelledError("interrupted")}
    with pytest.raises(CancelledError):
        run(of, Trainer(fails), tmp_path)
    states = [trial.state.name for trial in opened(of, tmp_path).trials]
    assert states == ["FAIL", "RUNNING", "WAITING", "WAITING"]
    run(of, Trainer(), tmp_path)
    states = [trial.state.name for trial in opened(of, tmp_path).trials]
    assert states == ["FAIL", "COMPLETE", "COMPLETE", "COMPLETE"]


@pytest.mark.parametrize("error", [CancelledError("interrupted"), NotReadyError("no service"), KeyboardInterrupt()])
def test_an_interrupted_trial_goes_on_under_its_own_name(error: Any, tmp_path: Path) -> None:
    with pytest.raises(type(error)):
        run(experiment(prune=False), Trainer({2: error}), tmp_path)
    again = Trainer()
    found = run(experiment(prune=False), again, tmp_path)
    assert again.arms == ["net-t2", "net-t3"]
    assert [trial.state for trial in found.trials] == ["complete"] * 4


def test_a_bad_trial_fails_alone_with_its_reason(tmp_path: Path) -> None:
    found = run(experiment(prune=False), Trainer({1: NAN}), tmp_path)
    assert [trial.state for trial in found.trials] == ["complete", "failed", "complete", "complete"]
    assert found.trials[1].reason == str(NAN)
    assert found.best is not None


def test_a_trial_that_failed_is_tried_again_at_the_next_start_under_its_own_name_and_no_other_is(
    tmp_path: Path,
) -> None:
    of = experiment(prune=False)
    first = run(of, Trainer({1: LOST}), tmp_path)
    assert [(trial.state, trial.reason) for trial in first.trials] == [
        ("complete", ""), ("failed", "out of memory"), ("complete", ""), ("complete", "")
    ]  # fmt: skip
    again = Trainer()
    found = run(of, again, tmp_path)
    assert again.arms == ["net-t1"]
    assert [(trial.state, trial.reason) for trial in found.trials] == [("complete", "")] * 4
    assert [trial.parameters for trial in found.trials] == [trial.parameters for trial in first.trials]
    assert found.trials[1].run_id == first.trials[1].run_id
    last = Trainer()
    assert run(of, last, tmp_path) == found
    assert last.arms == []


@pytest.mark.parametrize("method", ["random", "bayes"])
def test_a_trial_that_failed_is_counted_and_not_made_up_for_by_another_one(method: str, tmp_path: Path) -> None:
    of = experiment(method=method, space={"recipe.epochs": {"low": 1, "high": 3}}, trials=3, prune=False)
    found = run(of, Trainer({0: LOST}), tmp_path)
    assert [trial.state for trial in found.trials] == ["failed", "complete", "complete"]
    again, settling = Trainer({0: BakeoffError("disk full")}), Settling()
    found = run(of, again, tmp_path, settling)
    assert again.arms == ["net-t0"]
    assert settling.told == ["net-t1 already done: ", "net-t2 already done: "]
    assert found.trials[0].reason == "disk full"


def test_a_fold_that_failed_is_tried_again_and_those_after_it_are_trained(tmp_path: Path) -> None:
    of = experiment(folds=3, prune=False, space={"recipe.batch_size": [16]})
    settling = Settling()
    (trial,) = run(of, Trainer({1: LOST}), tmp_path, settling).trials
    assert (trial.state, trial.folds) == ("failed", ())
    assert settling.told == ["net-t0-f2 stopped, never begun: out of memory"]
    again = Trainer()
    (trial,) = run(of, again, tmp_path, settling).trials
    assert again.arms == ["net-t0-f0", "net-t0-f1", "net-t0-f2"]  # The first one's result is found where it is kept.
    assert (trial.state, len(trial.folds), trial.reason) == ("complete", 3, "")
    assert len(settling.told) == 1


def test_parameters_that_make_no_valid_arm_fail_their_trial(tmp_path: Path) -> None:
    found = run(experiment(space={"recipe.batch_size": [16, 0]}), Trainer(), tmp_path)
    assert [trial.state for trial in found.trials] == ["complete", "failed"]
    assert "greater than or equal to 1" in found.trials[1].reason


def test_a_trial_below_the_median_is_stopped_early(tmp_path: Path) -> None:
    found = run(experiment(space={"recipe.batch_size": [8, 16, 500]}, startup=2), Trainer(), tmp_path)
    assert [(trial.state, trial.epochs) for trial in found.trials] == [("complete", 3), ("complete", 3), ("pruned", 1)]


class Known:
    """Gives the accuracies of some arms; of all others 0.7 after each epoch."""

    def __init__(self, **accuracies: list[float]) -> None:
        self._accuracies = {name.replace("_", "-"): values for name, values in accuracies.items()}
        self.arms: list[str] = []

    def __call__(self, step: Step, on_epoch: OnEpoch) -> TrainResult:
        assert isinstance(step.spec, TrainSpec)
        self.arms.append(step.spec.arm)
        values = self._accuracies.get(step.spec.arm, [0.7] * 3)
        for epoch, value in enumerate(values, start=1):
            on_epoch(epoch, {"validation_accuracy": value})
        return trained(values)


def test_a_good_first_fold_does_not_carry_a_trial_whose_other_folds_are_bad(tmp_path: Path) -> None:
    of = experiment(folds=3, space={"recipe.batch_size": [8, 16, 32, 64]})
    assert of.search
    train = Known(net_t3_f0=[0.8] * 3, net_t3_f1=[0.4] * 3, net_t3_f2=[0.4] * 3)
    found = search(of, of.search, inputs(of.search), train, lambda *_: None, tmp_path)
    assert [trial.state for trial in found.trials] == ["complete"] * 3 + ["pruned"]
    assert train.arms[-1] == "net-t3-f1"
    assert (found.trials[3].epochs, found.trials[3].value) == (4, pytest.approx(0.6))


@pytest.mark.parametrize("curves", [{"net_t3": [0.8, 0.6, 0.7]}, {"net_t3_f1": [0.8, 0.6, 0.7]}])
def test_a_dip_after_a_good_epoch_of_the_same_training_stops_nothing(
    curves: dict[str, list[float]], tmp_path: Path
) -> None:
    of = experiment(folds=2 if "net_t3_f1" in curves else None, space={"recipe.batch_size": [8, 16, 32, 64]})
    assert of.search
    found = search(of, of.search, inputs(of.search), Known(**curves), lambda *_: None, tmp_path)
    assert [trial.state for trial in found.trials] == ["complete"] * 4


@pytest.mark.parametrize("method", ["random", "bayes"])
def test_ranges_are_drawn_from_and_more_trials_continue_the_same_search(method: str, tmp_path: Path) -> None:
    space = {
        "recipe.optimizer.learning_rate": {"low": 0.001, "high": 0.1, "log": True},
        "recipe.epochs": {"low": 1, "high": 3},
    }
    first = run(experiment(method=method, space=space, trials=3), Trainer(), tmp_path)
    more = Trainer()
    found = run(experiment(method=method, space=space, trials=5), more, tmp_path)
    assert found.trials[:3] == first.trials
    assert more.arms == ["net-t3", "net-t4"]
    rates = [float(trial.parameters["recipe.optimizer.learning_rate"]) for trial in found.trials]
    assert all(0.001 <= rate <= 0.1 for rate in rates)
    assert len(set(rates)) == 5


@pytest.mark.parametrize(("mode", "folds"), [("matched", None), ("idiomatic", None), ("idiomatic", 2)])
def test_a_trial_reads_what_a_plain_training_of_its_arm_reads(mode: str, folds: int | None, tmp_path: Path) -> None:
    data = {**DOCUMENT["data"], "source": {"kind": "folder", "path": "/pictures"}}
    arms = {"net": {**DOCUMENT["arms"]["net"], "mode": mode}}
    plan = {**GRID, "space": {"recipe.batch_size": [16]}, "folds": folds}
    of = Experiment.model_validate({**DOCUMENT, "data": data, "arms": arms, "search": plan})
    trainer = Trainer()
    run(of, trainer, tmp_path)
    plain = train_steps(of.model_copy(update={"search": None}), "0" * 64, DIGEST)[0].spec
    assert isinstance(plain, TrainSpec)
    assert (plain.originals is None) == (mode == "matched")
    assert [spec.originals for spec in trainer.specs] == [plain.originals] * (folds or 1)


def test_a_bayesian_search_goes_by_what_it_has_seen_after_a_third_of_its_trials(tmp_path: Path) -> None:
    space = {"recipe.optimizer.learning_rate": {"low": 0.001, "high": 0.1, "log": True}}
    drawn = {}
    for method in ("bayes", "random"):
        found = run(experiment(method=method, trials=9, space=space, prune=False), Trainer(), tmp_path / method)
        drawn[method] = [trial.parameters for trial in found.trials]
    assert drawn["bayes"][:3] == drawn["random"][:3]
    assert all(bayes not in drawn["random"] for bayes in drawn["bayes"][3:])


@pytest.mark.parametrize(("trials", "expected"), [(1, 1), (2, 1), (10, 3), (30, 10), (500, 10)])
def test_a_bayesian_search_draws_ten_trials_at_random_at_most(trials: int, expected: int) -> None:
    plan = experiment(method="bayes", trials=trials).search
    assert plan is not None
    assert plan.random_trials == expected


def test_epochs_that_nobody_heard_of_are_noted_when_their_training_is_found(tmp_path: Path) -> None:
    class Silent(Trainer):
        def __call__(self, step: Step, on_epoch: OnEpoch) -> TrainResult:
            return super().__call__(step, lambda *_: None)

    of = experiment(folds=2, prune=False, space={"recipe.batch_size": [16]})
    heard, silent = (run(of, trainer, tmp_path / type(trainer).__name__) for trainer in (Trainer(), Silent()))
    assert silent == heard
    assert silent.trials[0].epochs == 6
    values = [opened(of, tmp_path / name).trials[0].intermediate_values for name in ("Trainer", "Silent")]
    assert values[0] == values[1]
    assert list(values[1]) == [1, 2, 3, 4, 5, 6]


def test_a_search_may_draw_the_optimiser_and_the_schedule(tmp_path: Path) -> None:
    trainer = Trainer()
    space = {
        "recipe.optimizer.name": ["adam", "sgd"],
        "recipe.optimizer.beta_1": [0.8],
        "recipe.schedule.name": ["constant", "step"],
    }
    found = run(experiment(space=space), trainer, tmp_path)
    assert {trial.state for trial in found.trials} == {"complete"}
    recipes = [spec.recipe for spec in trainer.specs]
    assert {(type(one.optimizer), type(one.schedule)) for one in recipes} == {
        (optimizer, schedule) for optimizer in (Adam, Sgd) for schedule in (Constant, StepDecay)
    }
    for recipe in recipes:
        assert recipe.optimizer.learning_rate == Adam().learning_rate, "what both have is kept"
        assert isinstance(recipe.optimizer, Sgd) or recipe.optimizer.beta_1 == 0.8
    for trial in found.trials:
        drawn = trial.parameters["recipe.optimizer.name"]
        assert ("recipe.optimizer.beta_1" in trial.parameters) == (drawn == "adam"), "only what a training had is told"


def test_a_schedule_that_is_drawn_has_its_own_defaults(tmp_path: Path) -> None:
    """Cosine ends at 0, which is no end of an exponential one."""
    trainer = Trainer()
    arm = {"architecture": "digits-cnn", "recipe": {"epochs": 3, "schedule": "cosine"}}
    plan = {**GRID, "space": {"recipe.schedule.name": ["cosine", "exponential", "one-cycle"]}}
    found = run(Experiment.model_validate({**DOCUMENT, "arms": {"net": arm}, "search": plan}), trainer, tmp_path)
    assert {trial.state for trial in found.trials} == {"complete"}
    assert [spec.recipe.schedule for spec in trainer.specs] == [Cosine(), Exponential(), OneCycle()]


def test_an_optimiser_that_is_drawn_in_idiomatic_mode_has_the_frameworks_own_values(tmp_path: Path) -> None:
    trainer = Trainer()
    arm = {**DOCUMENT["arms"]["net"], "mode": "idiomatic"}
    search_plan = {**GRID, "space": {"recipe.optimizer.name": ["sgd"], "recipe.batch_size": [16]}}
    run(Experiment.model_validate({**DOCUMENT, "arms": {"net": arm}, "search": search_plan}), trainer, tmp_path)
    assert [spec.recipe.optimizer for spec in trainer.specs] == [Sgd(learning_rate=None, momentum=None)]


def test_another_arm_is_another_search(tmp_path: Path) -> None:
    run(experiment(), Trainer(), tmp_path)
    other = Experiment.model_validate(
        {**DOCUMENT, "arms": {"net": {"architecture": "digits-cnn", "recipe": {"epochs": 2}}}, "search": GRID}
    )
    trainer = Trainer()
    run(other, trainer, tmp_path)
    assert len(trainer.arms) == 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"space": {"recipe.batchsize": [1]}},
            "no key 'recipe.batchsize'; where 'batchsize' is, it has mode, epochs, batch_size",
        ),
        ({"space": {"recipe.optimizer.momentum": [0.9]}}, "'momentum' is, it has learning_rate, beta_1"),
        ({"space": {"recipe.epochs.first": [1]}}, "no key 'recipe.epochs.first'; recipe.epochs is 3"),
        (
            {"space": {"recipe.schedule": ["cosine"], "recipe.schedule.name": ["constant"]}},
            "recipe.schedule holds recipe.schedule.name; draw one or the other",
        ),
        ({"arm": "other"}, "search.arm 'other' or search.framework"),
        ({"framework": "fastai"}, "search.framework 'fastai' is not there"),
        ({"trials": 3}, "leave trials out"),
        ({"folds": 1}, "greater than or equal to 2"),
        ({"method": "bayes"}, "method bayes needs trials"),
        ({"space": {"recipe.epochs": {"low": 1, "high": 3}}}, "a grid has choices"),
        ({"space": {"recipe.epochs": {"low": 3, "high": 1}}}, "low 3 is not below high 1"),
    ],
)
def test_a_plan_that_cannot_be_carried_out_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=message):
        experiment(**changes)


def test_folds_beside_a_number_of_validation_images_are_refused_before_anything_starts() -> None:
    data = {**DOCUMENT["data"], "split": {"validation": 8}}
    with pytest.raises(pydantic.ValidationError, match=r"data\.split\.validation 8 has no meaning with search\.folds"):
        Experiment.model_validate({**DOCUMENT, "data": data, "search": {**GRID, "folds": 3}})


def test_the_report_ranks_trials_and_says_what_became_of_them(tmp_path: Path) -> None:
    trainer = Trainer({1: NAN})
    found = run(experiment(prune=False), trainer, tmp_path)
    assert sentence(found).startswith("4 trials of arm net in Keras by grid: 3 complete, 1 failed. Best: trial 3")
    rows = table(found).rows
    assert [row[1] for row in rows] == ["complete"] * 3 + ["failed"]
    assert rows[-1][-1] == str(NAN)
    assert len(chart(found)["data"][0]["x"]) == 3


def test_a_search_without_a_complete_trial_says_so() -> None:
    plan = SearchPlan.model_validate(GRID)
    assert sentence(SearchOutcome(plan=plan, trials=(), best=None)).endswith("none. None was completed.")
