"""Services that answer at once, for experiments that are driven from end to end without a training."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import pytest
from bakeoff.run.v1 import run_pb2
from bakeoff.trainer.v1 import trainer_service_pb2

from core import files
from core.errors import BakeoffError
from core.schemas.results import EvaluateResult, PrepareResult, PublishedModel, TrainResult
from core.schemas.specs import EvaluateSpec, PrepareSpec, ReportSpec, TrainSpec
from core.store import Store
from services.client.directory import Directory
from services.orchestrator import reconciler as module
from services.orchestrator.experiment_file import read_experiment
from services.orchestrator.reconciler import Reconciler
from services.orchestrator.reporter import Reporter
from services.orchestrator.tracking.tracker import OFF, Tracker
from services.rpc.errors import RUN_CODES
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
Fails = Callable[[Any], bool | str | BakeoffError]
"""Whether the step of a spec fails, or why."""


class Services:
    """Trainers and evaluator in one: every run ends at once, with a result in the store or with a failure."""

    def __init__(self, store: Store, work: Path, fails: Fails) -> None:
        self._store, self._work, self._fails = store, work, fails
        self.specs: dict[str, Any] = {}
        self.cancelled: list[str] = []
        self.refuses: Callable[[TrainSpec], BakeoffError | None] = lambda _: None
        """What a trainer says when it is asked whether it would take a training."""
        self.accuracies: Callable[[TrainSpec], Sequence[float]] = lambda _: ()
        """Of a training's epochs, each of which is told before it ends; none: no epoch is told of."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def inspect(self, _: object) -> trainer_service_pb2.InspectSourceResponse:
        return trainer_service_pb2.InspectSourceResponse(digest="d", classes=["0", "1"])

    def describe(self, *_: object) -> trainer_service_pb2.DescribeArchitectureResponse:
        return trainer_service_pb2.DescribeArchitectureResponse()

    def check(self, spec: TrainSpec) -> None:
        if error := self.refuses(spec):
            raise error

    def create(self, run_id: str, spec: Any) -> None:
        self.specs[run_id] = spec

    def finish(self, run_id: str, on_event: Callable[[run_pb2.RunEvent], None]) -> run_pb2.Run:
        spec = self.specs[run_id]
        for event in self._epochs(spec):
            on_event(event)
        if why := self._fails(spec):
            code = RUN_CODES[type(why).__name__].value[0] if isinstance(why, BakeoffError) else 0
            error = "out of memory" if why is True else str(why)
            return run_pb2.Run(id=run_id, state=run_pb2.RUN_STATE_FAILED, error=error, error_code=code)
        folder = self._work / run_id
        files.write_json(folder / "result.json", self._result(run_id, spec))
        self._store.put("results", run_id, folder)
        return run_pb2.Run(id=run_id, state=run_pb2.RUN_STATE_SUCCEEDED)

    def _epochs(self, spec: Any) -> Iterator[run_pb2.RunEvent]:
        values = self.accuracies(spec) if isinstance(spec, TrainSpec) else ()
        for number, value in enumerate(values, start=1):
            told = {"train_loss": 1.0, "validation_accuracy": value}
            yield run_pb2.RunEvent(
                number=number,
                progress=run_pb2.Progress(phase="train", done=number, total=len(values), unit="epochs", values=told),
            )

    def _result(self, run_id: str, spec: Any) -> Any:
        if isinstance(spec, ReportSpec):
            return spec
        kinds = {PrepareSpec: PrepareResult, TrainSpec: TrainResult, EvaluateSpec: EvaluateResult}
        made = next(one for one in MADE.results if isinstance(one, kinds[type(spec)]))
        changes: dict[str, Any] = {"run_id": run_id, "spec": spec}
        if isinstance(spec, TrainSpec) and isinstance(made, TrainResult):
            changes["models"] = tuple(_published(made.models[0], spec, name) for name in spec.formats)
            if values := self.accuracies(spec):
                changes["history"] = tuple(
                    made.history[0].model_copy(update={"epoch": number, "validation_accuracy": value})
                    for number, value in enumerate(values, start=1)
                )
        return made.model_copy(update=changes)

    def abandon(self) -> None: ...

    def cancel(self, run_id: str) -> None:
        self.cancelled.append(run_id)

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


class Driver:
    """Runs the experiment, as often as it is asked to, in one home folder."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._home, self._monkeypatch = home, monkeypatch
        self.store = Store(str(home / "store"), home / "cache")

    def reconciler(
        self, fails: Fails, overrides: Sequence[str], reporter: Reporter | None = None, tracker: Tracker = OFF
    ) -> tuple[Services, Reconciler]:
        """The experiment, changed by overrides, with the steps that fail."""
        services = Services(self.store, self._home / "work", fails)
        for name in ("TrainerClient", "EvaluatorClient"):
            self._monkeypatch.setattr(module, name, lambda _: services)
        self._monkeypatch.setattr(module, "Measuring", Served)
        experiment = read_experiment(DIGITS, (*OVERRIDES, *overrides))
        directory = Directory(self._home)
        return services, Reconciler(experiment, directory, self.store, reporter or Silent(), tracker=tracker)
