"""What a failing training or evaluation leaves of an experiment. The services are fakes that answer at once."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import pytest
from bakeoff.run.v1 import run_pb2
from bakeoff.trainer.v1 import trainer_service_pb2

from core import files
from core.schemas.results import EvaluateResult, PrepareResult, PublishedModel, TrainResult
from core.schemas.specs import EvaluateSpec, PrepareSpec, ReportSpec, TrainSpec
from core.store import Store
from services.client.directory import Directory
from services.orchestrator import reconciler as module
from services.orchestrator.experiment_file import read_experiment
from services.orchestrator.reconciler import Finished, Reconciler
from tests.unit.evaluator.builder import Experiment
from tests.unit.services.orchestrator.test_reconciler import DIGITS, Silent

MADE = Experiment(seeds=(0,), arms=("matched",), frameworks=("keras", "pytorch"), load_tests=False)
OVERRIDES = (
    "loadtest=null",
    "frameworks=[keras, pytorch]",
    "formats={keras: [onnx], pytorch: [onnx, pt2]}",
    "arms={matched: {architecture: digits-cnn, recipe: {epochs: 1}}}",
    "seeds=[0]",
)
Fails = Callable[[Any], bool]


class Services:
    """Trainers and evaluator in one: every run ends at once, with a result in the store or with a failure."""

    def __init__(self, store: Store, work: Path, fails: Fails) -> None:
        self._store, self._work, self._fails = store, work, fails
        self.specs: dict[str, Any] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def inspect(self, _: object) -> trainer_service_pb2.InspectSourceResponse:
        return trainer_service_pb2.InspectSourceResponse(digest="d", classes=["0", "1"])

    def describe(self, *_: object) -> trainer_service_pb2.DescribeArchitectureResponse:
        return trainer_service_pb2.DescribeArchitectureResponse()

    def create(self, run_id: str, spec: Any) -> None:
        self.specs[run_id] = spec

    def finish(self, run_id: str, _: object) -> run_pb2.Run:
        spec = self.specs[run_id]
        if self._fails(spec):
            return run_pb2.Run(id=run_id, state=run_pb2.RUN_STATE_FAILED, error="out of memory")
        folder = self._work / run_id
        files.write_json(folder / "result.json", self._result(run_id, spec))
        self._store.put("results", run_id, folder)
        return run_pb2.Run(id=run_id, state=run_pb2.RUN_STATE_SUCCEEDED)

    def _result(self, run_id: str, spec: Any) -> Any:
        if isinstance(spec, ReportSpec):
            return spec
        kinds = {PrepareSpec: PrepareResult, TrainSpec: TrainResult, EvaluateSpec: EvaluateResult}
        made = next(one for one in MADE.results if isinstance(one, kinds[type(spec)]))
        changes: dict[str, Any] = {"run_id": run_id, "spec": spec}
        if isinstance(spec, TrainSpec) and isinstance(made, TrainResult):
            changes["models"] = tuple(_published(made.models[0], spec, name) for name in spec.formats)
        return made.model_copy(update=changes)

    def capabilities(self) -> SimpleNamespace:
        """Scores two models at a time."""
        return SimpleNamespace(slots=2)

    def asked(self, kind: type[Any]) -> list[Any]:
        """Specs of one kind, in the order they were asked for."""
        return [spec for spec in self.specs.values() if isinstance(spec, kind)]


def _published(model: PublishedModel, spec: TrainSpec, name: str) -> PublishedModel:
    return model.model_copy(update={"name": spec.model_name(name), "format": name})


class Served:
    """Stands for the inference servers: every model is loaded at once."""

    def __init__(self, *_: object) -> None: ...

    def attended(self, step: Any, do: Callable[[Any], None]) -> None:
        do(step)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Services, Finished]]:
    """Runs the experiment, changed by overrides, with the steps that fail."""

    def run(fails: Fails, *overrides: str) -> tuple[Services, Finished]:
        store = Store(str(tmp_path / "store"), tmp_path / "cache")
        services = Services(store, tmp_path / "work", fails)
        for name in ("TrainerClient", "EvaluatorClient"):
            monkeypatch.setattr(module, name, lambda _: services)
        monkeypatch.setattr(module, "Measuring", Served)
        experiment = read_experiment(DIGITS, (*OVERRIDES, *overrides))
        return services, Reconciler(experiment, Directory(tmp_path), store, Silent()).run()

    return run


def test_where_every_step_succeeds_nothing_is_missing(run: Any) -> None:
    services, finished = run(lambda _: False)
    assert finished.failed == ()
    (report,) = services.asked(ReportSpec)
    assert report.missing == ()
    assert len(report.results) == 1 + 2 + 3


def test_a_training_that_fails_leaves_the_others_going_and_is_missing_in_the_report(run: Any) -> None:
    services, finished = run(lambda spec: isinstance(spec, TrainSpec) and spec.framework == "keras")
    assert [spec.framework for spec in services.asked(TrainSpec)] == ["keras", "pytorch"]
    assert {spec.model for spec in services.asked(EvaluateSpec)} == {
        "digits-matched-pytorch-s0-onnx",
        "digits-matched-pytorch-s0-pt2",
    }
    (report,) = services.asked(ReportSpec)
    assert report.missing == finished.failed == ("train matched keras s0: out of memory",)
    assert len(report.results) == 1 + 1 + 2


def test_an_evaluation_that_fails_leaves_the_others_going_and_is_missing_in_the_report(run: Any) -> None:
    services, finished = run(lambda spec: isinstance(spec, EvaluateSpec) and spec.model.endswith("pytorch-s0-onnx"))
    assert len(services.asked(EvaluateSpec)) == 3
    (report,) = services.asked(ReportSpec)
    assert report.missing == finished.failed == ("evaluate digits-matched-pytorch-s0-onnx: out of memory",)
    assert len(report.results) == 1 + 2 + 2
    assert (finished.report / "result.json").is_file()


def test_models_scored_at_the_same_time_are_reported_in_the_order_of_the_experiment(run: Any) -> None:
    both = threading.Barrier(2, timeout=30)

    def slow(spec: Any) -> bool:
        if isinstance(spec, EvaluateSpec) and spec.model != "digits-matched-pytorch-s0-pt2":
            both.wait()  # Not before the other is under way too.
            time.sleep(0.2 if "keras" in spec.model else 0.0)
        return False

    services, _ = run(slow)
    (report,) = services.asked(ReportSpec)
    specs = [services.specs[run_id] for run_id in report.results]
    scored = [spec.model for spec in specs if isinstance(spec, EvaluateSpec)]
    assert scored == [f"digits-matched-{name}" for name in ("keras-s0-onnx", "pytorch-s0-onnx", "pytorch-s0-pt2")]


OTHER_SPLIT = "other_split={split: {policy: contiguous}}"


def test_the_other_split_is_trained_and_scored_apart(run: Any) -> None:
    services, finished = run(lambda _: False, OTHER_SPLIT)
    assert finished.failed == ()
    assert [spec.data.split.policy for spec in services.asked(PrepareSpec)] == ["stratified", "contiguous"]
    trained = [(spec.arm, spec.framework) for spec in services.asked(TrainSpec)]
    assert trained[2:] == [("matched-contiguous", "keras"), ("matched-contiguous", "pytorch")]
    (report,) = services.asked(ReportSpec)
    assert len(report.results) == 1 + 2 + 3
    others = [services.specs[run_id] for run_id in report.other_split]
    assert [spec.kind for spec in others] == ["prepare", "train", "train", "evaluate", "evaluate"]
    assert {(spec.calibrate, spec.corruptions) for spec in others[3:]} == {(False, ())}
    assert {spec.model for spec in others[3:]} == {
        f"digits-matched-contiguous-{framework}-s0-onnx" for framework in ("keras", "pytorch")
    }


def test_a_failure_on_the_other_split_is_missing_in_the_report(run: Any) -> None:
    services, finished = run(lambda s: isinstance(s, TrainSpec) and s.arm == "matched-contiguous", OTHER_SPLIT)
    (report,) = services.asked(ReportSpec)
    assert report.missing == finished.failed
    assert [line.split(":")[0] for line in report.missing] == [
        "train matched-contiguous keras s0",
        "train matched-contiguous pytorch s0",
    ]
    assert len(report.results) == 1 + 2 + 3
    assert len(report.other_split) == 1
