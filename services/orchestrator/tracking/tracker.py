"""Hands what happens to the sinks, in a thread of its own: tracking never delays a training nor makes it fail."""

import contextlib
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from bakeoff.run.v1 import run_pb2
from bakeoff.trainer.v1 import trainer_service_pb2

from core.errors import BakeoffError, NotFoundError
from core.formats import OTHER_RUNTIMES
from core.repository import ModelRepository
from core.results import read_result
from core.schemas.results import Scored, TrainResult
from core.schemas.specs import TrainSpec
from core.store import Store
from services.orchestrator.steps import Step, Subject
from services.orchestrator.tracking.sink import Layer, Outcome, Sink, Tracked

CLOSE_TIMEOUT_S = 120.0
ERROR_TIMEOUT_S = 5.0
"""After an interruption or an error: what takes longer is not written."""
Say = Callable[[str], None]


@dataclass(frozen=True)
class Message:
    """What every sink is told."""

    tell: Callable[[Sink], None]
    again: bool
    """Whether the experiment's next start tells it too."""


class Tracker:
    """Several sinks behind one queue.

    Args:
        open_sinks: makes the sinks, in the thread: importing their libraries takes seconds.
        say: receives a line when a sink gives up.
        models: the model repository, where this machine can read it.
    """

    def __init__(
        self, open_sinks: Sequence[Callable[[], Sink]], say: Say, models: ModelRepository | None = None
    ) -> None:
        self._open, self._say, self._models = open_sinks, say, models
        self._networks: dict[str, tuple[Layer, ...]] = {}
        self._told, self._hurried = False, False
        self._queue: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="tracking", daemon=True)

    def __enter__(self) -> "Tracker":
        if self._open:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Waits until everything is written; an interrupted experiment waits for a moment only, and leaves out what is
        told again when it goes on."""
        if not self._thread.is_alive():
            return
        self._hurried = error is not None
        self._queue.put(None)
        if error and not self._told:  # Nothing to write: only the sinks' libraries may still be loading.
            return
        timeout = ERROR_TIMEOUT_S if error else CLOSE_TIMEOUT_S
        self._thread.join(timeout)
        if self._thread.is_alive():
            self._say(f"tracking: not everything was written within {timeout:.0f} s")

    def network(self, name: str, described: trainer_service_pb2.DescribeArchitectureResponse) -> None:
        """Remembers a network's layers for its graph."""
        self._networks[name] = tuple(
            Layer(layer.path, layer.type, tuple(layer.output_shape)) for layer in described.layers
        )

    def progress(self, step: Step, progress: run_pb2.Progress) -> None:
        """A training advanced; the end of an epoch is tracked."""
        if isinstance(step.spec, TrainSpec) and progress.unit == "epochs":
            run, number, values = Tracked(step.run_id, step.spec), int(progress.done), dict(progress.values)
            self._tell(lambda sink: sink.epoch(run, number, values))

    def finished(self, result: TrainResult, store: Store) -> None:
        """A training is done."""
        run = Tracked(result.run_id, result.spec)
        self._tell(lambda sink: sink.finished(run, self._outcome(result, store)), again=True)

    def scored(self, subject: Subject, run_id: str, store: Store) -> None:
        """An artefact of a training that is done was scored.

        Args:
            run_id: of the evaluation, whose result is read where somebody tracks it.
        """
        run, name = Tracked(subject.trained.run_id, subject.trained.spec), served_name(subject)

        def tell(sink: Sink) -> None:
            if values := _scores(store, run_id):
                sink.scored(run, name, values)

        self._tell(tell, again=True)

    def failed(self, step: Step, reason: str) -> None:
        """A step ended without a result; trainings are tracked."""
        if isinstance(step.spec, TrainSpec):
            run = Tracked(step.run_id, step.spec)
            self._tell(lambda sink: sink.failed(run, reason))

    def interrupted(self, step: Step) -> None:
        """A step was stopped with the experiment; trainings are tracked."""
        if isinstance(step.spec, TrainSpec):
            run = Tracked(step.run_id, step.spec)
            self._tell(lambda sink: sink.interrupted(run))

    def pruned(self, step: Step) -> None:
        """A search stopped a trial."""
        if isinstance(step.spec, TrainSpec):
            run = Tracked(step.run_id, step.spec)
            self._tell(lambda sink: sink.pruned(run))

    def _outcome(self, result: TrainResult, store: Store) -> Outcome:
        return Outcome(
            result=result,
            folder=store.path("results", result.run_id),
            models=tuple(self._folders(result)),
            layers=self._networks.get(result.spec.architecture, ()),
        )

    def _folders(self, result: TrainResult) -> Iterator[Path]:
        if (models := self._models) is None:
            return
        for model in result.models:
            # A service elsewhere may publish into a repository of its own.
            with contextlib.suppress(NotFoundError):
                models.refresh(model.name)
                models.fetch(model.name, model.version)
                yield models.path(model.name, model.version)

    def _tell(self, message: Callable[[Sink], None], again: bool = False) -> None:
        """Hands a message on.

        Args:
            again: whether the experiment's next start tells it too.
        """
        if self._open:
            self._told = True
            self._queue.put(Message(message, again))

    def _work(self) -> None:
        sinks: list[Sink] = []
        for make in self._open:
            try:
                sinks.append(make())
            except Exception as error:  # Whatever a library or its server does, the experiment goes on.
                self._say(_stopped("", error))
        while (message := self._queue.get()) is not None:
            if self._hurried and message.again:
                continue
            for sink in list(sinks):
                try:
                    message.tell(sink)
                except Exception as error:
                    self._say(_stopped(f" in {sink.name}", error))
                    sinks.remove(sink)


def served_name(subject: Subject) -> str:
    """Format, precision and runtime as far as they are not the usual ones: `onnx`, `onnx-int8`, `onnx-openvino`."""
    name = subject.model.name.removeprefix(f"{subject.trained.spec.model_prefix}-")
    return f"{name}-{subject.runtime}" if subject.runtime in OTHER_RUNTIMES else name


def _scores(store: Store, run_id: str) -> dict[str, float]:
    """Empty for a result that cannot be read: the report says so, and tracking goes on."""
    with contextlib.suppress(BakeoffError):
        result = read_result(store, run_id)
        if isinstance(result, Scored):
            return {"accuracy": result.accuracy, "log_loss": result.log_loss}
    return {}


def _stopped(where: str, error: Exception) -> str:
    return f"tracking{where} stopped, the experiment goes on: {type(error).__name__}: {error}"


OFF = Tracker((), lambda line: None)
"""Tracks nothing."""
