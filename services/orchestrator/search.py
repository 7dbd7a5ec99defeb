"""Searches an arm's space with Optuna. Trials are ordinary runs of the trainer service.

Optuna's storage on disk holds the trials, the services the trainings: killed anywhere and started again, the search
goes on, finished trials are not repeated and an interrupted or failed one continues from its training's last
checkpoint.
"""

import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Literal

import optuna
import pydantic
from optuna.trial import FrozenTrial, TrialState

from core.epochs import exported_epoch
from core.errors import BakeoffError, CancelledError, DivergedError, InvalidInputError, NotReadyError
from core.schemas.base import Schema, content_id, explain
from core.schemas.experiment import Arm, Experiment
from core.schemas.recipe import OPTIMIZERS, SCHEDULES
from core.schemas.results import TrainResult
from core.schemas.search import Range, Scalar, SearchOutcome, SearchPlan, Trial
from core.schemas.specs import TrainSpec
from services.orchestrator.pretrained import pin_imagenet
from services.orchestrator.reporter import Outcome
from services.orchestrator.steps import Step, originals

RUN, REASON, FOLDS = "run", "reason", "folds"
"""What is noted at a trial: its (first) training's run, why it failed, the value of each training that is done."""
PRUNED = "its trial was pruned"
Pruned = optuna.TrialPruned
"""What a listener raises to stop a trial."""
OnEpoch = Callable[[int, dict[str, float]], None]
Train = Callable[[Step, OnEpoch], TrainResult]
"""Trains and tells each epoch; an exception from there stops the run. Raises BakeoffError for a failed training."""
Settled = Callable[[Step, Outcome, str, bool], None]
"""Told of each training that `train` is not called for: how it ended, why, and whether it was ever begun."""
Check = Callable[[Sequence[Step], Sequence[str]], None]
"""Told of trainings, and why other parameters make none; raises where none of them can be."""
MOST_LISTED = 100
State = Literal["complete", "pruned", "failed"]
STATES: dict[TrialState, State] = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}


@dataclass(frozen=True)
class SearchData:
    """What the trials are trained on."""

    fingerprints: tuple[str, ...]
    """Of the prepared data, one for each fold of a cross-validation, otherwise one."""
    digest: str
    """Of the source, for the frameworks' own pipelines."""


def search(
    experiment: Experiment,
    plan: SearchPlan,
    data: SearchData,
    train: Train,
    settled: Settled,
    storage: Path,
    check: Check = lambda *_: None,
) -> SearchOutcome:
    """Runs the trials that are missing or failed, and returns all of them. A trial that fails fails alone.

    Args:
        check: asked about all that trials can be, where they can be listed and none has been trained yet.
        settled: told of trainings of trials that were finished before, and of the folds that a trial left out.
        storage: folder of Optuna's database.

    Raises:
        CancelledError, NotReadyError: interrupted, or the service is away; the trial goes on the next time.
    """
    study = open_study(experiment, plan, data, storage)
    begun: set[str] = set()
    if not any(one.state in (TrialState.COMPLETE, TrialState.PRUNED) for one in study.trials):
        check(*every_trial(experiment, plan, data))

    def begin(step: Step, on_epoch: OnEpoch) -> TrainResult:
        begun.add(step.label)
        return train(step, on_epoch)

    def run(trial: optuna.Trial) -> None:
        _run(study, trial, experiment, plan, data, begin)
        for ending in _endings(experiment, plan, data, study.trials[trial.number]):
            if ending[0].label not in begun:
                settled(*ending)

    known = [one for one in study.trials if one.state is not TrialState.WAITING][: plan.count]
    for one in known:
        if one.state.is_finished():
            for ending in _endings(experiment, plan, data, one):
                settled(*ending)
    for one in known:
        if one.state is TrialState.RUNNING:
            trial = optuna.Trial(study, one._trial_id)
            trial.set_user_attr(REASON, "")
            run(trial)
    while sum(one.state is not TrialState.WAITING for one in study.trials) < plan.count:
        run(study.ask())
    return outcome(study, plan)


def open_study(experiment: Experiment, plan: SearchPlan, data: SearchData, storage: Path) -> optuna.Study:
    """The study on disk. Another plan, arm or data is another study; more trials of the same are not."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage.mkdir(parents=True, exist_ok=True)
    arm, seed = experiment.arms[plan.arm].model_dump_json(exclude={"frameworks"}), experiment.seeds[0]
    # Before, every trial was judged by its last epoch; those of one study are judged alike.
    kept = experiment.arms[plan.arm].recipe.keep_best or "recipe.keep_best" in plan.space
    judged = ["by the exported epoch"] if kept else []
    study = optuna.create_study(
        storage=f"sqlite:///{storage / f'{experiment.name}.db'}",
        study_name=content_id(
            experiment.name, plan.model_copy(update={"trials": None}), arm, *data.fingerprints, str(seed), *judged
        ),
        pruner=optuna.pruners.MedianPruner(plan.startup) if plan.prune else optuna.pruners.NopPruner(),
        direction="maximize",
        load_if_exists=True,
    )
    # A sampler does not remember what it drew: the same seed again would draw the same again.
    start = seed + len(study.trials)
    study.sampler = (
        optuna.samplers.TPESampler(n_startup_trials=plan.random_trials, seed=start)
        if plan.method == "bayes"
        else optuna.samplers.RandomSampler(seed=start)
    )
    if plan.method == "grid":
        for parameters in missing(study, plan):
            study.enqueue_trial(parameters)
    return study


def missing(study: optuna.Study, plan: SearchPlan) -> list[dict[str, Scalar]]:
    """A grid's combinations without a trial, whatever became of it; some where enqueueing them was interrupted.

    Optuna's own `skip_if_exists` takes numbers that are close for the same, 1e-8 and 1e-9 for example.
    """
    left = combinations(plan)
    for trial in study.trials:
        # What it was enqueued with: a waiting trial has no parameters yet, an interrupted one perhaps not all.
        parameters = trial.system_attrs.get("fixed_params", trial.params)
        if parameters in left:
            left.remove(parameters)
    return left


def combinations(plan: SearchPlan) -> list[dict[str, Scalar]]:
    """Every combination of a grid, the last key fastest."""
    choices = [values for values in plan.space.values() if not isinstance(values, Range)]
    return [dict(zip(plan.space, values, strict=True)) for values in product(*choices)]


def outcome(study: optuna.Study, plan: SearchPlan) -> SearchOutcome:
    """What the trials came to that are over."""
    trials = tuple(_trial(one, plan, state) for one in study.trials if (state := _state(one)))
    complete = [trial for trial in trials if trial.state == "complete"]
    best = max(complete, key=lambda trial: (trial.value or -math.inf, -trial.number), default=None)
    return SearchOutcome(plan=plan, trials=trials, best=best.number if best else None)


def _run(
    study: optuna.Study,
    trial: optuna.Trial,
    experiment: Experiment,
    plan: SearchPlan,
    data: SearchData,
    train: Train,
) -> None:
    try:
        value = _value(trial, experiment, plan, data, train)
    except Pruned:
        study.tell(trial, state=TrialState.PRUNED)
    except (CancelledError, NotReadyError):  # Not the trial's fault: it goes on the next time.
        raise
    except BakeoffError as error:
        trial.set_user_attr(REASON, str(error) or type(error).__name__)
        # Parameters that make no arm and a training that diverged would fail again. Whatever else failed goes on the
        # next time, under its own name and from its checkpoint: for Optuna it is still running.
        if RUN not in trial.user_attrs or isinstance(error, DivergedError):
            study.tell(trial, state=TrialState.FAIL)
    else:
        study.tell(trial, value)


def _state(one: FrozenTrial) -> State | None:
    """None for a trial that is not over; one that failed may still be running for Optuna."""
    return "failed" if one.state is TrialState.RUNNING and one.user_attrs.get(REASON) else STATES.get(one.state)


def _value(trial: optuna.Trial, experiment: Experiment, plan: SearchPlan, data: SearchData, train: Train) -> float:
    """Mean validation accuracy over the folds; each epoch reports the mean of what is known by then."""
    values: list[float] = []
    parameters, epochs = _parameters(trial, plan), 0
    for fold in range(len(data.fingerprints)):
        step = trial_step(experiment, plan, data, trial.number, parameters, fold)
        if not fold:
            trial.set_user_attr(RUN, step.run_id)
        trial.set_user_attr(FOLDS, values)  # An earlier start may have come further.

        def report(epoch: int, seen: dict[str, float], before: int = epochs) -> None:
            _report(trial, before, epoch, statistics.fmean([*values, seen["validation_accuracy"]]))

        history = train(step, report).history
        # Epochs of a training that went on while nobody listened, or that an earlier command had begun.
        for epoch in history:
            _note(trial, epochs + epoch.epoch, statistics.fmean([*values, epoch.validation_accuracy]))
        # What is exported is what the trial is judged by.
        assert isinstance(step.spec, TrainSpec)
        values.append(history[exported_epoch(step.spec.recipe, history) - 1].validation_accuracy)
        # All of them, also where it stopped early: trials are compared at the same epoch of the same fold.
        epochs += step.spec.recipe.epochs
    trial.set_user_attr(FOLDS, values)
    return statistics.fmean(values)


def _note(trial: optuna.Trial, epoch: int, value: float) -> None:
    if epoch not in trial.study.trials[trial.number].intermediate_values:
        trial.report(value, epoch)


def _report(trial: optuna.Trial, before: int, epoch: int, value: float) -> None:
    """Raises Pruned for a trial that is not worth going on with."""
    _note(trial, before + epoch, value)
    # Pruners go by the best value so far. With folds that is this one's best: a good first fold would otherwise carry
    # all others to their end.
    seen = trial.study.trials[trial.number]
    seen.intermediate_values = {step: one for step, one in seen.intermediate_values.items() if step > before}
    if trial.study.pruner.prune(trial.study, seen):
        raise Pruned


def _parameters(trial: optuna.Trial, plan: SearchPlan) -> dict[str, Scalar]:
    found: dict[str, Scalar] = {}
    for key, values in plan.space.items():
        if not isinstance(values, Range):
            found[key] = trial.suggest_categorical(key, values)
        elif isinstance(values.low, int) and isinstance(values.high, int):
            found[key] = trial.suggest_int(key, values.low, values.high, log=values.log)
        else:
            found[key] = trial.suggest_float(key, values.low, values.high, log=values.log)
    return found


def trial_step(
    experiment: Experiment,
    plan: SearchPlan,
    data: SearchData,
    number: int,
    parameters: dict[str, Scalar],
    fold: int = 0,
) -> Step:
    """The training of a trial, or of one of its folds.

    Raises:
        InvalidInputError: the parameters make no valid arm.
    """
    name = trial_arm(plan, number, fold)
    document = experiment.arms[plan.arm].model_dump(mode="json")
    # Names first: the other keys are those of the optimiser or schedule that is drawn.
    for key, value in sorted(used(parameters).items(), key=lambda item: item[0] not in KINDS):
        document = _drawn(document, key, value)
    try:
        arm = pin_imagenet(Arm.model_validate(document))
    except pydantic.ValidationError as error:
        raise InvalidInputError(explain(error)) from error
    spec = TrainSpec(
        experiment=experiment.name,
        arm=name,
        framework=plan.framework,
        seed=experiment.seeds[0],
        architecture=arm.architecture,
        data=data.fingerprints[fold],
        recipe=arm.recipe,
        formats=("onnx",),
        originals=originals(experiment.data, data.digest, arm.recipe),
    )
    return Step(spec, f"trainer-{plan.framework}", f"{name} {plan.framework} s{spec.seed}")


def every_trial(experiment: Experiment, plan: SearchPlan, data: SearchData) -> tuple[list[Step], list[str]]:
    """A training of each combination that trials can have, and why others make no valid arm. Neither where there are
    ranges or more combinations than MOST_LISTED."""
    choices = [values for values in plan.space.values() if not isinstance(values, Range)]
    if len(choices) < len(plan.space) or math.prod(map(len, choices)) > MOST_LISTED:
        return [], []
    made: list[Step] = []
    invalid: list[str] = []
    for number, parameters in enumerate(combinations(plan)):
        try:
            made.append(trial_step(experiment, plan, data, number, parameters))
        except InvalidInputError as error:
            invalid.append(str(error))
    return made, invalid


def trial_steps(
    experiment: Experiment, plan: SearchPlan, data: SearchData, number: int, parameters: dict[str, Scalar]
) -> list[Step]:
    """The trainings of a trial, to count them: with the arm as written where the parameters make no valid one."""
    folds = range(len(data.fingerprints))
    try:
        return [trial_step(experiment, plan, data, number, parameters, fold) for fold in folds]
    except InvalidInputError:
        return [trial_step(experiment, plan, data, number, {}, fold) for fold in folds]


def _endings(
    experiment: Experiment, plan: SearchPlan, data: SearchData, one: FrozenTrial
) -> Iterator[tuple[Step, Outcome, str, bool]]:
    """How the trainings of a trial that is over ended, as `Settled` is told of them."""
    steps, noted = trial_steps(experiment, plan, data, one.number, one.params), one.user_attrs
    done = len(steps) if one.state is TrialState.COMPLETE else len(noted.get(FOLDS, ()))
    why = noted.get(REASON) or PRUNED
    for fold, step in enumerate(steps):
        if fold < done:
            yield step, "already done", "", True
        elif fold == done:
            yield step, "failed" if _state(one) == "failed" else "stopped", why, FOLDS in noted
        else:
            yield step, "stopped", why, False


def trial_arm(plan: SearchPlan, number: int, fold: int = 0) -> str:
    """Name of the arm of a trial, or of one of its folds."""
    return f"{plan.arm}-t{number}" + (f"-f{fold}" if plan.folds else "")


KINDS: dict[str, dict[str, type[Schema]]] = {"recipe.optimizer.name": OPTIMIZERS, "recipe.schedule.name": SCHEDULES}
"""Keys that decide which other keys there are beside them."""


def used(parameters: dict[str, Scalar]) -> dict[str, Scalar]:
    """Without what the optimiser or the schedule that was drawn does not have."""
    found = dict(parameters)
    for name, kinds in KINDS.items():
        if kind := kinds.get(str(parameters.get(name))):
            beside = name.removesuffix("name")
            found = {
                key: value
                for key, value in found.items()
                if not key.startswith(beside) or key.removeprefix(beside) in kind.model_fields
            }
    return found


def _drawn(arm: dict[str, Any], key: str, value: Scalar) -> dict[str, Any]:
    """The arm with another value. An optimiser keeps what another one has too, a schedule begins with its defaults."""
    if key not in KINDS:
        return _with(arm, key.split("."), value)
    above = key.removesuffix(".name")
    kind = KINDS[key].get(str(value))
    written = arm["recipe"]["optimizer"] if kind and above == "recipe.optimizer" else {}
    kept = {name: one for name, one in written.items() if kind and name in kind.model_fields}
    return _with(arm, above.split("."), {**kept, "name": value})


def _with(document: dict[str, Any], path: list[str], value: Scalar | dict[str, Any]) -> dict[str, Any]:
    key, *rest = path
    return {**document, key: _with(document[key], rest, value) if rest else value}


def _trial(one: FrozenTrial, plan: SearchPlan, state: State) -> Trial:
    seen = one.intermediate_values
    last = max(seen, default=None)
    complete = state == "complete"
    return Trial(
        number=one.number,
        arm=trial_arm(plan, one.number),
        parameters=used(one.params),
        state=state,
        value=one.value if complete else None if last is None else seen[last],
        folds=tuple(one.user_attrs[FOLDS]) if complete and plan.folds else (),
        epochs=len(seen),
        run_id=one.user_attrs.get(RUN, ""),
        reason=one.user_attrs.get(REASON, ""),
    )
