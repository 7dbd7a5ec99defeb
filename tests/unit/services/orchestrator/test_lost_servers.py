"""What becomes of a score or a load test whose server is restarted. The server is a fake: the moment must be exact."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import pytest

from core import files
from core.errors import BakeoffError, NotReadyError
from core.schemas.experiment import LoadTestPlan
from core.schemas.specs import EvaluateSpec, LoadTestSpec
from core.store import Store
from services.client.directory import Directory
from services.orchestrator import loadtest
from services.orchestrator import measuring as module
from services.orchestrator import reconciler as reconciling
from services.orchestrator.experiment_file import read_experiment
from services.orchestrator.measuring import RELOADS, Measuring
from services.orchestrator.reconciler import Finished, Reconciler
from services.orchestrator.steps import Step, load_spec, load_step
from tests.unit.evaluator.test_loads import result
from tests.unit.services.orchestrator.faked_services import OVERRIDES, Services
from tests.unit.services.orchestrator.test_reconciler import DIGITS, Silent

ONE_TRAINING = ("frameworks=[pytorch]", "formats={pytorch: [onnx]}")
LOST = "serving-onnxruntime was restarted or went away 3 times meanwhile, so this has no result"


class Server:
    """Stands for an inference server and for the client that speaks to it; it loads what it is told to."""

    def __init__(self) -> None:
        self.ready = set[str]()
        self.loads: list[str] = []
        self.away = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def restart(self) -> None:
        self.ready.clear()

    def leave(self) -> None:
        self.restart()
        self.away = True

    def is_live(self) -> bool:
        return not self.away

    def model_ready(self, name: str, _version: int | None = None) -> bool:
        return name in self.ready

    def load_model(self, name: str) -> None:
        if self.away:
            raise NotReadyError("nobody answers")
        self.loads.append(name)
        self.ready.add(name)

    def unload_model(self, name: str) -> None:
        self.ready.remove(name)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    server = Server()
    monkeypatch.setattr(module, "InferenceClient", lambda *_, **__: server)
    monkeypatch.setattr(module, "RESTART_S", 0.0)
    return server


class Bench:
    """Load tests of the model `x` against the server; `happens` is called inside each with its number, from 1."""

    def __init__(self, root: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.server = root, server
        self.store = Store(str(root / "store"), root / "cache")
        self.happens: Callable[[int], None] = lambda _: None
        self.tests: list[LoadTestSpec] = []
        self.failed: list[str] = []
        monkeypatch.setattr(loadtest, "run", self._load_test)

    def run(self, **plan: object) -> list[float]:
        """Throughputs of the results."""
        self.failed.clear()
        wanted = LoadTestPlan.model_validate(plan)
        measuring = Measuring(Directory(self.root), self.store, Silent(), self._tolerate)
        measuring.run(wanted, [self.subject(wanted)])
        return [found.throughput for found in measuring.found]

    def subject(self, plan: LoadTestPlan) -> LoadTestSpec:
        return load_spec(plan, "x", 1, "a" * 64, "onnxruntime", "b" * 64)

    def _load_test(self, folder: Path, spec: LoadTestSpec, flags: dict[str, str], _on_progress: object) -> Path:
        """The throughput is the number of the load test. Where the server goes, the rest is errors, as it is really."""
        assert spec.model in self.server.ready, "a load test of a model that is not loaded"
        self.tests.append(spec)
        self.happens(len(self.tests))
        errors = {} if spec.model in self.server.ready else {"UNAVAILABLE": 1000}
        found = result([1.0] * 1000, run_id=flags["run-id"], throughput=float(len(self.tests)), errors=errors)
        files.write_json(folder / "result.json", found.model_copy(update={"spec": spec}))
        return folder / "result.json"

    @contextmanager
    def _tolerate(self, step: Step) -> Iterator[None]:
        try:
            yield
        except BakeoffError as error:
            self.failed.append(f"{step.label}: {error}")


@pytest.fixture
def bench(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path, server, monkeypatch)


def test_a_load_test_whose_server_stays_is_measured_once_and_the_model_unloaded(bench: Bench, server: Server) -> None:
    assert bench.run() == [1.0]
    assert (server.loads, server.ready, bench.failed) == (["x"], set(), [])


def test_a_load_test_whose_server_is_restarted_is_measured_again_with_the_model_loaded_again(
    bench: Bench, server: Server
) -> None:
    bench.happens = lambda number: server.restart() if number == 1 else None
    assert bench.run() == [2.0]
    assert (server.loads, server.ready, bench.failed) == (["x", "x"], set(), [])


def test_a_load_test_that_ends_with_its_server_is_measured_again_too(bench: Bench, server: Server) -> None:
    """Where no request was answered in the window, the load test fails instead of leaving a result full of errors."""

    def happens(number: int) -> None:
        if number == 1:
            server.restart()
            raise BakeoffError("load test failed: no request succeeded: 1000 × UNAVAILABLE")

    bench.happens = happens
    assert (bench.run(), bench.failed) == ([2.0], [])


def test_a_load_test_that_fails_by_itself_is_not_measured_again(bench: Bench) -> None:
    def happens(_: int) -> None:
        raise BakeoffError("load test failed: no such data")

    bench.happens = happens
    assert bench.run() == []
    assert bench.failed == ["x: load test failed: no such data"]
    assert len(bench.tests) == 1


def test_a_server_lost_again_and_again_leaves_no_result_and_the_next_run_measures(bench: Bench, server: Server) -> None:
    bench.happens = lambda _: server.restart()
    assert bench.run() == []
    assert len(bench.tests) == len(server.loads) == RELOADS + 1
    (failed,) = bench.failed
    assert failed.startswith(f"x: {LOST}")
    assert not bench.store.has("results", load_step(bench.subject(LoadTestPlan())).run_id)
    bench.happens = lambda _: None
    assert (bench.run(), bench.failed) == ([RELOADS + 2.0], [])


def test_a_server_lost_at_the_last_reload_but_one_is_measured(bench: Bench, server: Server) -> None:
    bench.happens = lambda number: server.restart() if number <= RELOADS else None
    assert (bench.run(), bench.failed) == ([RELOADS + 1.0], [])


def test_a_server_that_does_not_come_back_fails_the_load_test_with_its_own_words(bench: Bench, server: Server) -> None:
    bench.happens = lambda _: server.leave()
    assert bench.run() == []
    assert bench.failed == ["x: nobody answers"]


def test_the_later_repeats_of_a_rate_find_the_model_again(bench: Bench, server: Server) -> None:
    """A search loads the model once for all repeats of a rate."""
    bench.happens = lambda number: server.restart() if bench.tests[-1].rate and number % 5 == 3 else None
    bench.run(search=True, bound_ms=10, repeats=2)
    assert bench.failed == []
    assert len(server.loads) > 3


@pytest.fixture
def score(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Services, Finished]]:
    """Runs an experiment with one model; `happens` is called inside each of its evaluations, and says if it fails."""

    def run(happens: Callable[[], bool]) -> tuple[Services, Finished]:
        def fails(spec: Any) -> bool:
            return isinstance(spec, EvaluateSpec) and (spec.model not in server.ready or happens())

        store = Store(str(tmp_path / "store"), tmp_path / "cache")
        services = Services(store, tmp_path / "work", fails)
        for name in ("TrainerClient", "EvaluatorClient"):
            monkeypatch.setattr(reconciling, name, lambda _: services)
        experiment = read_experiment(DIGITS, (*OVERRIDES, *ONE_TRAINING))
        return services, Reconciler(experiment, Directory(tmp_path), store, Silent()).run()

    return run


def restarts(server: Server, times: int) -> Callable[[], bool]:
    """An evaluation under which the server is restarted, so many times, each of which fails it."""
    left = list(range(times))

    def happens() -> bool:
        if not left:
            return False
        left.pop()
        server.restart()
        return True

    return happens


@pytest.mark.parametrize("times", [0, 1, RELOADS])
def test_a_score_whose_server_is_restarted_is_made_with_the_model_loaded_again(score, server, times) -> None:
    _, finished = score(restarts(server, times))
    assert finished.failed == ()
    assert len(server.loads) == 1 + times
    assert server.ready == set()


def test_a_score_whose_server_is_lost_again_and_again_is_missing_and_made_by_the_next_run(score, server) -> None:
    _, finished = score(restarts(server, RELOADS + 1))
    (failed,) = finished.failed
    assert failed.startswith(f"evaluate digits-matched-pytorch-s0-onnx: {LOST}")
    assert len(server.loads) == RELOADS + 1
    _, finished = score(lambda: False)
    assert finished.failed == ()


def test_a_score_that_fails_while_the_server_keeps_the_model_is_not_made_again(score, server) -> None:
    _, finished = score(lambda: True)
    assert finished.failed == ("evaluate digits-matched-pytorch-s0-onnx: out of memory",)
    assert len(server.loads) == 1
