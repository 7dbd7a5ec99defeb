"""Measures served models: repeats, then saturation curves, both interleaved over artefacts, then the highest rates.

Every point is a result object of its own, known by its spec. What is measured next follows from the results that are
there, so an interrupted plan goes on where it was.
"""

import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

from core.errors import BakeoffError, NotReadyError, WrongStateError
from core.percentiles import queries_needed
from core.rates import judged
from core.results import read_result
from core.schemas.experiment import LoadTestPlan
from core.schemas.results import LoadTestResult
from core.schemas.scenarios import TARGET_PERCENTILE
from core.schemas.specs import LoadTestSpec
from core.store import Store
from services.client.directory import Directory
from services.client.inference import InferenceClient
from services.orchestrator import loadtest, rates, steps
from services.orchestrator.reporter import Reporter
from services.orchestrator.steps import Step

T = TypeVar("T")
LOAD_TIMEOUT_S = 120.0
RESTART_S = 60.0
"""How long a server may be away between two models."""
RELOADS = 2
"""How often a model is loaded again for a server that was restarted while it was scored or measured."""
P99_QUERIES = queries_needed(TARGET_PERCENTILE, over=1)
"""For a point that is held against a bound: enough for p99 with one query above it."""


class ServerLostError(NotReadyError):
    """The server was restarted, or went away, while something was done with the model it had loaded."""

    def __init__(self, step: Step, times: int = 1) -> None:
        spec: Any = step.spec
        often = f" {times} times" if times > 1 else ""
        super().__init__(
            f"serving-{spec.runtime} was restarted or went away{often} meanwhile, so this has no result; "
            "see the server's log (exit status 137 is its memory limit), then run this again"
        )


@dataclass
class Measuring:
    """Load tests of one experiment, or of some models.

    Args:
        tolerate: wraps a step; what it swallows leaves the step out and lets the others go on.
        stop: set once nothing is to be tried again.
    """

    directory: Directory
    store: Store
    reporter: Reporter
    tolerate: Callable[[Step], AbstractContextManager[None]]
    stop: threading.Event = field(default_factory=threading.Event)
    found: list[LoadTestResult] = field(default_factory=list)
    """Every result, in the order of the plan."""

    def run(self, plan: LoadTestPlan, subjects: Sequence[LoadTestSpec]) -> None:
        """Measures every subject as the plan says.

        Args:
            subjects: one spec for each artefact, the plan's own scenario, repeat 0.
        """
        self.reporter.plan({"loadtest": count_points(plan, len(subjects))})
        for repeat in range(plan.repeats):
            # Every other round backwards, so that none is always measured first.
            for subject in subjects[:: -1 if repeat % 2 else 1]:
                self._measure([subject.model_copy(update={"repeat": repeat})])
        if plan.sweep is None and not plan.search:
            return
        # Not by model: one model may be served by several runtimes.
        answering = [(subject, able) for subject in subjects if (able := self._capacity(plan, subject))]
        curves = [(subject, rates.sweep_rates(plan.sweep, able) if plan.sweep else ()) for subject, able in answering]
        self._sweep(plan.repeats, curves)
        searching = [(subject, able, swept) for (subject, able), (_, swept) in zip(answering, curves, strict=True)]
        while plan.search and searching:
            # A rate of each in turn, as often as all the rest: one lucky window would decide over the next rates.
            searching = [one for one in searching if self._search_on(plan.repeats, *one)]

    def _sweep(self, repeats: int, curves: Sequence[tuple[LoadTestSpec, Sequence[float]]]) -> None:
        """Every artefact's first rate, then every artefact's second: a slow minute of the machine hits all curves."""
        for repeat in range(repeats):
            for place in range(max((len(curve) for _, curve in curves), default=0)):
                for subject, curve in curves[:: -1 if (place + repeat) % 2 else 1]:
                    for rate in curve[place : place + 1]:
                        self._measure([at_rate(subject, rate, repeat)])

    def _search_on(self, repeats: int, subject: LoadTestSpec, able: float, swept: Sequence[float]) -> bool:
        """Measures the next rate of a search; False when there is none, or it cannot be measured."""
        rate = rates.next_rate(self._judged(subject), able, swept)
        return bool(rate and self._measure([at_rate(subject, rate, repeat) for repeat in range(repeats)]))

    def _capacity(self, plan: LoadTestPlan, subject: LoadTestSpec) -> float:
        """Queries per second of a closed loop; 0 where it could not be measured."""
        known = [r for r in self.found if _same_artefact(r.spec, subject) and r.spec.scenario == "closed"]
        if not known:
            before = len(self.found)
            self._measure([as_closed(subject, plan)])
            known = self.found[before:]
        return median(result.throughput / result.spec.batch_size for result in known) if known else 0.0

    def _judged(self, subject: LoadTestSpec) -> dict[float, bool]:
        """Rates measured so far against the bound."""
        mine = (r for r in self.found if _same_artefact(r.spec, subject) and r.spec.bound_ms == subject.bound_ms)
        return judged(mine)

    def _measure(self, specs: Sequence[LoadTestSpec]) -> int:
        """Measures what has no result yet, with the model loaded once; returns how many results there are."""
        all_steps = [steps.load_step(spec) for spec in specs]
        measured = 0
        with self.tolerate(all_steps[0]), self.served(all_steps):
            for step in all_steps:
                with self.tolerate(step):
                    self._keep(self.attended(step, self.point))
                    measured += 1
        return measured

    def _keep(self, result: LoadTestResult) -> None:
        """Once: a sweep may come to a rate that the plan measures anyway."""
        if all(result.run_id != known.run_id for known in self.found):
            self.found.append(result)

    def point(self, step: Step) -> LoadTestResult:
        """The result of one load test: the stored one, or a new one.

        Raises:
            ServerLostError: the server no longer has the model. A restart leaves figures behind, of a server that was
                not there for a part of the time: they are not stored, because what is stored is never measured again.
            BakeoffError: it could not be measured.
        """
        if self.store.has("results", step.run_id):
            result = self._stored(step)
            self.reporter.finished(step, "already done", describe(result))
            return result
        assert isinstance(step.spec, LoadTestSpec)
        folder = self.directory.home / "loadtests" / step.run_id
        flags = {
            "target": self.directory.target(step.service),
            "store": self.store.url,
            "cache": str(self.store.cache),
            "run-id": step.run_id,
        }
        if metrics := self.directory.metrics(step.service):
            flags["metrics"] = metrics
        path = loadtest.run(folder, step.spec, flags, lambda event: self._show(step, event))
        if self.lost(step):
            raise ServerLostError(step)
        with _object_folder(folder) as content:
            shutil.copyfile(path, content / "result.json")
            self.store.put("results", step.run_id, content)
        result = self._stored(step)
        self.reporter.finished(step, "done", describe(result))
        for problem in result.problems:
            self.reporter.log(step, "warning", problem)
        return result

    def attended(self, step: Step, do: Callable[[Step], T]) -> T:
        """Does something with the step's model loaded. Where its server is restarted meanwhile, the model is loaded
        again and it is done again, at most RELOADS times.

        Raises:
            ServerLostError: the server was lost each time.
            BakeoffError: what `do` raised while the server kept the model, or the model could not be loaded.
        """
        for reloads_left in reversed(range(RELOADS + 1)):
            with self.served([step]):
                try:
                    return do(step)
                except BakeoffError as error:
                    if self.stop.is_set() or not (isinstance(error, ServerLostError) or self.lost(step)):
                        raise
                    if not reloads_left:
                        raise ServerLostError(step, RELOADS + 1) from error
                    self.reporter.log(step, "info", "the server was restarted; the model is loaded again")
        raise AssertionError("the last round returns or raises")

    @contextmanager
    def served(self, wanted: Sequence[Step | None]) -> Iterator[None]:
        """Has the steps' model loaded while the block runs, unless nothing is left to do with it."""
        todo = [step for step in wanted if step is not None and not self.store.has("results", step.run_id)]
        if not todo:
            yield
            return
        spec: Any = todo[0].spec
        with InferenceClient(self.directory.target(f"serving-{spec.runtime}"), timeout_s=LOAD_TIMEOUT_S) as serving:
            _await(serving, self.stop)
            was_ready = serving.model_ready(spec.model, spec.version)
            if not was_ready:
                serving.load_model(spec.model)
            try:
                yield
            finally:
                if not was_ready and serving.model_ready(spec.model):
                    serving.unload_model(spec.model)

    def lost(self, step: Step) -> bool:
        """Whether the server of a step's model no longer has it: it was restarted, or is away.

        An experiment's servers load what they are told to, so one that is new has no model. It does not show where a
        server loads its models by itself.
        """
        spec: Any = step.spec
        with InferenceClient(self.directory.target(f"serving-{spec.runtime}")) as serving:
            return not serving.model_ready(spec.model, spec.version)

    def _stored(self, step: Step) -> LoadTestResult:
        result = read_result(self.store, step.run_id)
        if not isinstance(result, LoadTestResult):
            raise WrongStateError(f"results/{step.run_id} holds a {result.kind} result, expected a load test")
        return result

    def _show(self, step: Step, event: dict[str, Any]) -> None:
        self.reporter.progress(step, event["phase"], event["done"], event["total"], event.get("values", {}))


def _await(serving: InferenceClient, stop: threading.Event) -> None:
    """Gives a server that is being restarted time to come back; what is wrong with it the next call says."""
    deadline = time.monotonic() + RESTART_S
    while not serving.is_live() and time.monotonic() < deadline:
        if stop.wait(0.5):
            return


def count_points(plan: LoadTestPlan, subjects: int) -> int:
    """Load tests that are known beforehand: a search decides as it goes."""
    sweep = plan.sweep if isinstance(plan.sweep, int) else len(plan.sweep or ())
    capacity = int(plan.scenario != "closed" and bool(plan.sweep or plan.search))
    return subjects * (plan.repeats * (1 + sweep) + capacity)


def at_rate(subject: LoadTestSpec, rate: float, repeat: int = 0) -> LoadTestSpec:
    """A point of a saturation curve; with a bound it has enough queries to be held against it."""
    queries = max(subject.min_queries, P99_QUERIES if subject.bound_ms else 0)
    values = subject.model_dump(exclude={"batch_size"})
    asked = {"generator": "bakeoff", "scenario": "server", "rate": rate, "min_queries": queries, "repeat": repeat}
    return LoadTestSpec.model_validate(values | asked)


def as_closed(subject: LoadTestSpec, plan: LoadTestPlan) -> LoadTestSpec:
    """The closed loop that shows how much an artefact can do."""
    values = subject.model_dump(exclude={"batch_size", "repeat", "rate", "users"})
    return LoadTestSpec.model_validate(values | {"scenario": "closed", "users": max(plan.users, 8)})


def describe(result: LoadTestResult) -> str:
    """`200/s: 198 images/s, p99 4.21 ms, within 10 ms`."""
    spec = result.spec
    rate = f"{spec.rate:g}/s: " if spec.rate is not None else ""
    judgement = ""
    if not result.valid:
        judgement = ", does not count"
    elif result.within_bound is not None:
        judgement = f", {'within' if result.within_bound else 'NOT within'} {spec.bound_ms:g} ms"
    return f"{rate}{result.throughput:,.0f} images/s, p99 {result.latency_ms.p99:.2f} ms{judgement}"


def _same_artefact(first: LoadTestSpec, second: LoadTestSpec) -> bool:
    return (first.model, first.version, first.runtime, first.artifact) == (
        second.model, second.version, second.runtime, second.artifact,
    )  # fmt: skip


@contextmanager
def _object_folder(folder: Path) -> Iterator[Path]:
    content = folder / "object"
    shutil.rmtree(content, ignore_errors=True)
    content.mkdir()
    try:
        yield content
    finally:
        shutil.rmtree(content, ignore_errors=True)
