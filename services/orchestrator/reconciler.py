"""Drives an experiment to its end: does what has no result in the store yet, and nothing else.

It keeps no state of its own. Killed anywhere and started again, it derives the same steps with the same ids, finds the
finished ones in the store, and finds the running ones at their services.
"""

import shutil
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from bakeoff.run.v1 import run_pb2

from core import files
from core.errors import BakeoffError, CancelledError, NotFoundError, WrongStateError
from core.results import read_result, state
from core.schemas.base import content_id
from core.schemas.experiment import Experiment
from core.schemas.results import PrepareResult, QuantizeResult, TrainResult
from core.schemas.search import SearchOutcome
from core.store import Store
from services.client.control import EvaluatorClient, RunClient, TrainerClient, raise_unless_succeeded
from services.client.directory import Directory
from services.orchestrator import steps
from services.orchestrator.fitting import check_arms, check_trainings, check_trials
from services.orchestrator.measuring import Measuring
from services.orchestrator.remake import replace_folder
from services.orchestrator.reporter import Outcome, Reporter
from services.orchestrator.search_lock import SEARCHES
from services.orchestrator.steps import Step, Subject
from services.orchestrator.tracking.tracker import OFF, Tracker

ResultT = TypeVar("ResultT")
S = TypeVar("S")
T = TypeVar("T")
SLOW_S = 3.0
"""After that people want to know what is being waited for."""


@dataclass(frozen=True)
class Finished:
    """What an experiment came to."""

    report: Path
    """Folder with report.html, report.md, report.csv, summary.json and a card for each model in cards/."""
    failed: tuple[str, ...]
    """One line per step that failed."""


@dataclass
class Reconciler:
    """One experiment, once.

    Args:
        parallel: trainings at a time; above one, results are marked contended and left out of time comparisons.
    """

    experiment: Experiment
    directory: Directory
    store: Store
    reporter: Reporter
    parallel: int = 1
    tracker: Tracker = OFF
    _failed: dict[str, str] = field(default_factory=dict)
    _active: dict[str, tuple[Step, RunClient]] = field(default_factory=dict)
    _stop: threading.Event = field(default_factory=threading.Event)
    _results: list[str] = field(default_factory=list)
    _listeners: dict[str, Callable[[int, dict[str, float]], None]] = field(default_factory=dict)
    _outcome: SearchOutcome | None = None
    _folds: list[str] = field(default_factory=list)
    """Fingerprints of the prepared data, one for each fold of a cross-validation, otherwise one."""
    _other: PrepareResult | None = None
    """The images divided the other way, where the experiment asks for it."""
    _other_results: list[str] = field(default_factory=list)

    def run(self) -> Finished:
        """Does every missing step, in order. A failed training or scoring is reported and the rest goes on.

        Raises:
            BakeoffError: nothing can go on, for example without data or without services.
        """
        try:
            return self._run()
        except BaseException:
            self._cancel_active()
            raise

    def _run(self) -> Finished:
        experiment = self.experiment
        prepared = self._prepare()
        digest = prepared.spec.source_digest
        trainings = [] if experiment.search else steps.train_steps(experiment, prepared.fingerprint, digest)
        if self._other:
            trainings += steps.other_train_steps(experiment, self._other.fingerprint, digest)
        missing = [step for step in trainings if not self.store.has("results", step.run_id)]
        with self._told_if_slow("waiting for the trainers to look at weights and images of what they shall train"):
            check_trainings(missing, self._connect)
        if trainings:
            self.reporter.plan(Counter(step.group for step in trainings))
        trained = self._train_all(trainings) if trainings else self._search(digest)
        others = [result for result in trained if result.spec.arm in experiment.other_arms]
        trained = [result for result in trained if result.spec.arm not in experiment.other_arms]
        self._results += [result.run_id for result in trained]
        if self._other:
            self._other_results += [self._other.run_id, *(result.run_id for result in others)]
        self._measure(trained, prepared.fingerprint, others)
        return self._report()

    def _prepare(self) -> PrepareResult:
        first = self.experiment.frameworks[0]
        with self._trainer(first) as trainer:
            with self._told_if_slow(f"waiting for trainer-{first} to look at the data source"):
                source = trainer.inspect(self.experiment.data.source)
            for name, network in check_arms(self.experiment, trainer, source.classes).items():
                self.tracker.network(name, network)
            todo = [steps.prepare_step(data, source.digest, first) for data in steps.data_of(self.experiment)]
            other = steps.other_data(self.experiment)
            self.reporter.plan({"prepare": len(todo) + bool(other)})
            results = [self._prepared(step, trainer) for step in todo]
            if other:
                self._other = self._prepared(steps.prepare_step(other, source.digest, first), trainer)
        self._folds = [result.fingerprint for result in results]
        self._results.append(results[0].run_id)
        return results[0]

    def _prepared(self, step: Step, trainer: TrainerClient) -> PrepareResult:
        found = self._result(step, PrepareResult, silent=True)
        if found and self.store.has("prepared", found.fingerprint):
            self.reporter.finished(step, "already done", "")
            return found
        made = self._remote(step, trainer, PrepareResult)  # Where the images alone are gone, they are prepared again.
        assert isinstance(made, PrepareResult), "_remote gives what it is asked for"
        return made

    def _search(self, digest: str) -> list[TrainResult]:
        """Runs the trials of a search; the training of the best one is measured and reported."""
        from services.orchestrator.search import SearchData, search, trial_step  # Optuna takes a second to import.

        plan = self.experiment.search
        assert plan is not None, "without trainings there is a search"
        total = plan.count * len(self._folds)
        self.reporter.plan({plan.framework: total})
        data, storage = SearchData(tuple(self._folds), digest), self.directory.home / SEARCHES
        found = search(self.experiment, plan, data, self._train_trial, self._settled, storage, self._check_trials)
        self._outcome = found
        best = next((trial for trial in found.trials if trial.number == found.best), None)
        if best is None:
            self._failed[f"search {plan.arm}"] = f"no trial was completed, the first failed: {found.trials[0].reason}"
            return []
        step = trial_step(self.experiment, plan, data, best.number, best.parameters)
        if not self.store.has("results", best.run_id):
            # Optuna remembers a trial in the home folder, whatever became of its result in the store.
            self.reporter.plan({plan.framework: total + 1})
            return self._train_all([step])
        with self._tolerated(step):
            result = read_result(self.store, best.run_id)
            assert isinstance(result, TrainResult), "a trial is a training"
            if best.number >= plan.count:  # Of a search that had more trials, which are not told of any more.
                self.tracker.finished(result, self.store)
            return [result]
        return []

    def _check_trials(self, trials: Sequence[Step], invalid: Sequence[str]) -> None:
        with self._told_if_slow("waiting for the trainer to look at weights and images of the trials"):
            check_trials(trials, invalid, self._connect)

    def _settled(self, step: Step, outcome: Outcome, why: str, begun: bool) -> None:
        """A training of a search that an earlier start ended, or that there will not be; tracking is told again."""
        self.reporter.finished(step, outcome, why)
        if outcome == "already done":
            # Only tracking wants the result of every trial: one that is gone or cannot be read stops nothing.
            with suppress(BakeoffError):
                if result := self._result(step, TrainResult, silent=True):
                    self.tracker.finished(result, self.store)
        elif begun and outcome == "failed":
            self.tracker.failed(step, why)
        elif begun:
            self.tracker.pruned(step)

    def _train_trial(self, step: Step, on_epoch: Callable[[int, dict[str, float]], None]) -> TrainResult:
        """One training whose epochs are listened to; whatever the listener raises stops it."""
        from services.orchestrator.search import Pruned

        result = self._result(step, TrainResult)
        self._listeners[step.run_id] = on_epoch
        try:
            with self._connect(step.service) as trainer:
                result = result or self._remote(step, trainer, TrainResult)
        except Exception as error:
            with self._connect(step.service) as trainer:
                _cancel(trainer, step.run_id)
            if isinstance(error, Pruned):
                self.tracker.pruned(step)
            else:
                self.tracker.failed(step, str(error) or type(error).__name__)
            self.reporter.finished(step, "failed" if isinstance(error, BakeoffError) else "stopped", str(error))
            raise
        finally:
            self._listeners.pop(step.run_id)
        assert result is not None, "a training that ended well has a result"
        self.tracker.finished(result, self.store)
        return result

    def _train_all(self, trainings: list[Step]) -> list[TrainResult]:
        return self._each(self._train, trainings, self.parallel)

    def _each(self, do: Callable[[S], T | None], todo: Sequence[S], at_once: int) -> list[T]:
        """What each of them gave, in their order, without those that gave nothing."""
        with ThreadPoolExecutor(at_once) as pool:
            try:
                return [result for result in pool.map(do, todo) if result is not None]
            except BaseException:
                # Before the pool waits for its threads, which wait for the runs.
                self._cancel_active()
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _train(self, step: Step) -> TrainResult | None:
        if self._stop.is_set():
            return None
        with self._tolerated(step):
            result = self._result(step, TrainResult)
            if result is None:
                with self._connect(step.service) as trainer:
                    result = self._remote(step, trainer, TrainResult)
            self.tracker.finished(result, self.store)
            return result
        return None

    def _measure(self, trained: list[TrainResult], fingerprint: str, others: list[TrainResult]) -> None:
        """Scores, then load-tests every model, one at a time: only one is loaded while it is measured.

        Args:
            others: trainings on the other split, which are scored on it and not load-tested.
        """
        if quantizing := sum(len(steps.quantize_steps(self.experiment, result)) for result in trained):
            self.reporter.plan({"quantize": quantizing})
        served = [subject for result in trained for subject in steps.plain_subjects(result)]
        served += [subject for result in trained for subject in self._variants(result)]
        found = (steps.loadtest_spec(self.experiment, subject, fingerprint) for subject in served)
        subjects = [spec for spec in found if spec is not None]
        measuring = Measuring(self.directory, self.store, self.reporter, self._tolerated, self._stop)
        todo = [(subject, steps.evaluate_step(self.experiment, subject, fingerprint)) for subject in served]
        elsewhere = [
            (subject, steps.other_evaluate_step(self.experiment, subject))
            for result in others
            for subject in steps.plain_subjects(result)
        ]
        self.reporter.plan({"evaluate": len(todo) + len(elsewhere)})
        with EvaluatorClient(self.directory.target("evaluator")) as evaluator:
            # Nothing is timed here, so as many at a time as the evaluator takes.
            slots = evaluator.capabilities().slots if todo or elsewhere else 1
            for results, scoring in ((self._results, todo), (self._other_results, elsewhere)):
                results += self._each(lambda one: self._scored(*one, evaluator, measuring), scoring, slots)
        if self.experiment.loadtest and subjects:
            try:
                measuring.run(self.experiment.loadtest, subjects)
            finally:
                self._results += [result.run_id for result in measuring.found]

    def _variants(self, trained: TrainResult) -> list[Subject]:
        """What else is scored of a training; makes its int8 model first where that is asked for."""
        found = []
        for step in steps.quantize_steps(self.experiment, trained):
            with self._tolerated(step):
                result = self._result(step, QuantizeResult)
                if result is None:
                    with self._connect(step.service) as trainer:
                        result = self._remote(step, trainer, QuantizeResult)
                self._results.append(result.run_id)
                found.append(steps.int8_subject(trained, result))
        return found + steps.runtime_subjects(self.experiment, trained)

    def _scored(self, subject: Subject, step: Step, evaluator: EvaluatorClient, measuring: Measuring) -> str | None:
        """Scores one model. Id of the result; None where there is none."""
        if self._stop.is_set():
            return None
        with self._tolerated(step):
            measuring.attended(step, lambda step: self._evaluate(step, evaluator))
            self.tracker.scored(subject, step.run_id, self.store)
            return step.run_id
        return None

    def _evaluate(self, step: Step, evaluator: EvaluatorClient) -> None:
        if not self._done(step):
            self._remote(step, evaluator, None)

    def _report(self) -> Finished:
        missing = tuple(f"{label}: {text}" for label, text in self._failed.items())
        found = state(self.store, (*self._results, *self._other_results))
        results, others = tuple(self._results), tuple(self._other_results)
        step = steps.report_step(self.experiment, results, found, missing, self._outcome, others)
        self.reporter.plan({"report": 1})
        if not self._done(step):
            with EvaluatorClient(self.directory.target("evaluator")) as evaluator:
                self._remote(step, evaluator, None)
        target = self.directory.home / "reports" / self.experiment.report_name
        replace_folder(self.store.path("results", step.run_id), target)
        return Finished(target, missing)

    def _trainer(self, framework: str) -> TrainerClient:
        return self._connect(f"trainer-{framework}")

    def _connect(self, service: str) -> TrainerClient:
        return TrainerClient(self.directory.target(service))

    @contextmanager
    def _told_if_slow(self, text: str) -> Iterator[None]:
        """Says what is being waited for, unless it is over in a moment."""
        timer = threading.Timer(SLOW_S, self.reporter.note, (text,))
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _done(self, step: Step) -> bool:
        if not self.store.has("results", step.run_id):
            return False
        self.reporter.finished(step, "already done", "")
        return True

    def _result(self, step: Step, schema: type[ResultT], silent: bool = False) -> ResultT | None:
        """The step's result, if it is in the store."""
        if not self.store.has("results", step.run_id):
            return None
        result = read_result(self.store, step.run_id)
        if not isinstance(result, schema):
            raise WrongStateError(f"results/{step.run_id} holds a {result.kind} result, expected {schema.__name__}")
        if not silent:
            self.reporter.finished(step, "already done", "")
        return result

    def _remote(self, step: Step, client: RunClient, schema: type[ResultT] | None) -> Any:
        """Has a service do a step and returns its result from the store."""
        run_id = step.run_id
        self._active[run_id] = (step, client)
        try:
            client.create(run_id, step.spec)
            self._check_stop()
            raise_unless_succeeded(self._finish(step, client))
        except BaseException as error:
            if not isinstance(error, Exception) or self._stop.is_set():
                self._interrupt(step, client)
            raise
        finally:
            self._active.pop(run_id, None)
        if not self.store.has("results", run_id):
            raise WrongStateError(
                f"run {run_id} succeeded, but its result is not in {self.store.url}: is it the services' store?"
            )
        self.reporter.finished(step, "done", "")
        return self._result(step, schema, silent=True) if schema else None

    def _finish(self, step: Step, client: RunClient) -> run_pb2.Run:
        try:
            return client.finish(step.run_id, lambda event: self._show_event(step, event))
        except NotFoundError:  # The service came back without its volume: the work starts again.
            client.create(step.run_id, step.spec)
            return client.finish(step.run_id, lambda event: self._show_event(step, event))

    def _check_stop(self) -> None:
        if self._stop.is_set():
            raise CancelledError("interrupted")

    @contextmanager
    def _tolerated(self, step: Step) -> Iterator[None]:
        """A failure inside is reported and remembered; the experiment goes on without the step."""
        try:
            yield
        except CancelledError:
            raise
        except BakeoffError as error:
            if self._stop.is_set():
                raise
            self._failed[f"{step.spec.kind} {step.label}"] = str(error)
            self.tracker.failed(step, str(error))
            self.reporter.finished(step, "failed", str(error))

    def _show_event(self, step: Step, event: run_pb2.RunEvent) -> None:
        if event.HasField("progress"):
            progress = event.progress
            self.reporter.progress(step, progress.phase, progress.done, progress.total, dict(progress.values))
            self.tracker.progress(step, progress)
            if progress.unit == "epochs" and step.run_id in self._listeners:
                self._listeners[step.run_id](int(progress.done), dict(progress.values))
        elif event.HasField("log"):
            self.reporter.log(step, event.log.level, event.log.text)
        elif event.state_change.message:
            self.reporter.log(step, "info", event.state_change.message)

    def _cancel_active(self) -> None:
        """Leaves no worker behind. Cancelled runs go on from their checkpoints the next time."""
        self._stop.set()
        active = list(self._active.values())
        for step, client in active:
            self._interrupt(step, client)
        for _, client in active:
            client.abandon()  # A service may look at data on a slow drive for minutes before it answers.

    def _interrupt(self, step: Step, client: RunClient) -> None:
        # Told again once the run is over: an epoch that was under way may have begun it anew for the tracker.
        self.tracker.interrupted(step)
        _cancel(client, step.run_id)


def _cancel(client: RunClient, run_id: str) -> None:
    """Stops a run as far as its service can be reached."""
    with suppress(BakeoffError, ValueError):  # The service, or the channel, is already gone.
        client.cancel(run_id)


def freeze(experiment: Experiment, store: Store, work: Path) -> str:
    """Puts the experiment with every default explicit into the store; returns its id."""
    object_id = content_id(experiment.name, experiment)
    if not store.has("experiments", object_id):
        folder = work / object_id
        files.write_json(folder / "experiment.json", experiment)
        store.put("experiments", object_id, folder)
        shutil.rmtree(folder)
    return object_id
