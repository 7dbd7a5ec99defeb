"""Client of the services that have runs. Synchronous; one instance may be used from several threads."""

import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self

import grpc
import pydantic
from bakeoff.evaluator.v1 import evaluator_service_pb2, evaluator_service_pb2_grpc
from bakeoff.run.v1 import run_pb2
from bakeoff.trainer.v1 import trainer_service_pb2, trainer_service_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from core.errors import BakeoffError, CancelledError, DeadlineError, NotReadyError, UnsupportedError
from core.schemas.data import Source
from services.client.channels import domain_error
from services.client.security import from_environment
from services.rpc.errors import RUN_ERRORS, from_rpc
from services.rpc.server import channel_options

TERMINAL = (run_pb2.RUN_STATE_SUCCEEDED, run_pb2.RUN_STATE_FAILED, run_pb2.RUN_STATE_CANCELLED)
MAX_MESSAGE_BYTES = 64 << 20
CALL_TIMEOUT_S = 30.0
LOOK_TIMEOUT_S = 600.0
"""Of calls that look at data and weights first: folders on a network drive are listed, gigabytes are hashed."""
RECONNECT_S = 0.5


class RunClient:
    """Creates, watches and cancels runs of one service.

    Args:
        target: `host:port`.
        stub: the generated stub class.
        messages: the generated module of its messages.
        patience_s: how long a service may be away in the middle of a run before that is an error.
    """

    def __init__(
        self, target: str, stub: Callable[[grpc.Channel], Any], messages: Any, patience_s: float = 60.0
    ) -> None:
        self.target = target
        security = from_environment()
        self._metadata = security.metadata(target)
        self._channel = security.channel(target, channel_options(MAX_MESSAGE_BYTES))
        self._stub, self._messages, self._patience_s = stub(self._channel), messages, patience_s
        self._pending: set[grpc.Future] = set()
        self._changing = threading.Lock()
        """Of `_pending`: a call that began is in it before others are abandoned."""
        self._abandoned = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the channel."""
        self._channel.close()

    def abandon(self) -> None:
        """Ends the calls that other threads wait for, and their waiting for a service that is away: they raise
        CancelledError. Streams go on."""
        self._abandoned.set()
        with self._changing:
            pending = list(self._pending)
        for call in pending:
            call.cancel()

    def create(self, run_id: str, spec: pydantic.BaseModel) -> run_pb2.Run:
        """Accepts a run; the same id and spec again is the same run."""
        request = self._messages.CreateRunRequest(id=run_id, spec_json=spec.model_dump_json())
        return self._patiently(self._stub.CreateRun, request, LOOK_TIMEOUT_S, "accept the run").run

    def get(self, run_id: str) -> run_pb2.Run:
        """Raises NotFoundError for an unknown id."""
        return self._call(self._stub.GetRun, self._messages.GetRunRequest(id=run_id)).run

    def list(self) -> list[run_pb2.Run]:
        """The service's runs, newest first."""
        return list(self._call(self._stub.ListRuns, self._messages.ListRunsRequest()).runs)

    def cancel(self, run_id: str) -> run_pb2.Run:
        """Stops a run; returns when its worker is gone."""
        return self._call(self._stub.CancelRun, self._messages.CancelRunRequest(id=run_id)).run

    def watch(self, run_id: str, after: int = 0) -> Iterator[run_pb2.RunEvent]:
        """Events after a number until the run is over, going on where it was after a lost connection."""
        away_since: float | None = None
        while True:
            try:
                request = self._messages.WatchRunRequest(id=run_id, after_event=after)
                for response in self._stub.WatchRun(request, metadata=self._metadata):
                    away_since = None
                    after = response.event.number
                    yield response.event
                return
            except grpc.RpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise from_rpc(error, self.target) from error
                now = time.monotonic()
                away_since = away_since or now
                if now - away_since > self._patience_s:
                    raise from_rpc(error, self.target) from error
                self._pause()

    def finish(self, run_id: str, on_event: Callable[[run_pb2.RunEvent], None]) -> run_pb2.Run:
        """Watches a run to its end and returns it."""
        for event in self.watch(run_id):
            on_event(event)
        return self._patiently(self._stub.GetRun, self._messages.GetRunRequest(id=run_id)).run

    def _patiently(self, method: Any, request: Any, timeout_s: float = CALL_TIMEOUT_S, action: str = "answer") -> Any:
        """A call that may be repeated, to a service that may be slow or in the middle of a restart."""
        away_since: float | None = None
        while True:
            try:
                return self._call(method, request, timeout_s, action)
            except (NotReadyError, DeadlineError):
                now = time.monotonic()
                # Counted from the first failure: a call that ran into its deadline is made once more.
                away_since = away_since or now
                if now - away_since > self._patience_s:
                    raise
                self._pause()

    def _pause(self) -> None:
        if self._abandoned.wait(RECONNECT_S):
            raise CancelledError("interrupted")

    def _call(self, method: Any, request: Any, timeout_s: float = CALL_TIMEOUT_S, action: str = "answer") -> Any:
        """One call; `action` is what an error says that the service did not do in time."""
        with self._changing:
            pending = method.future(request, timeout=timeout_s, wait_for_ready=False, metadata=self._metadata)
            self._pending.add(pending)
        try:
            return pending.result()
        except grpc.FutureCancelledError as error:
            raise CancelledError("interrupted") from error
        except grpc.RpcError as error:
            raise domain_error(error, self.target, timeout_s, action) from error
        finally:
            self._pending.discard(pending)
            pending.cancel()  # Does nothing once it is answered; Ctrl-C comes before.


class TrainerClient(RunClient):
    """Client of one trainer service."""

    def __init__(self, target: str) -> None:
        super().__init__(target, trainer_service_pb2_grpc.TrainerServiceStub, trainer_service_pb2)

    def capabilities(self) -> trainer_service_pb2.GetCapabilitiesResponse:
        """Framework, formats, versions and threads of the service."""
        return self._call(self._stub.GetCapabilities, trainer_service_pb2.GetCapabilitiesRequest())

    def architectures(self) -> list[trainer_service_pb2.ArchitectureSummary]:
        """Every network by name."""
        response = self._call(self._stub.ListArchitectures, trainer_service_pb2.ListArchitecturesRequest())
        return list(response.architectures)

    def describe(
        self, name: str, input_shape: tuple[int, ...] = (), classes: int = 0
    ) -> trainer_service_pb2.DescribeArchitectureResponse:
        """Layer table of a network, by default for the input it was designed for."""
        request = trainer_service_pb2.DescribeArchitectureRequest(name=name, input_shape=input_shape, classes=classes)
        return self._call(self._stub.DescribeArchitecture, request)

    def check(self, spec: pydantic.BaseModel) -> None:
        """Raises what creating a run of this spec would be refused with; starts nothing."""
        request = trainer_service_pb2.CheckRunRequest(spec_json=spec.model_dump_json())
        try:
            self._patiently(self._stub.CheckRun, request, LOOK_TIMEOUT_S, "say whether it takes the run")
        except UnsupportedError as error:
            raise UnsupportedError(
                f"{self.target} cannot say whether it takes a run: it is older than this command; upgrade it"
            ) from error

    def inspect(self, source: Source) -> trainer_service_pb2.InspectSourceResponse:
        """Digest of a data source, and its classes where they are known. Raises NotFoundError when it is not there."""
        request = trainer_service_pb2.InspectSourceRequest(source_json=source.model_dump_json())
        return self._call(self._stub.InspectSource, request, LOOK_TIMEOUT_S, "look at the data source")


class EvaluatorClient(RunClient):
    """Client of the evaluator service."""

    def __init__(self, target: str) -> None:
        super().__init__(target, evaluator_service_pb2_grpc.EvaluatorServiceStub, evaluator_service_pb2)

    def capabilities(self) -> evaluator_service_pb2.GetCapabilitiesResponse:
        """Kinds of runs and versions of the service, and how many runs it executes at a time."""
        return self._patiently(self._stub.GetCapabilities, evaluator_service_pb2.GetCapabilitiesRequest())


def is_serving(target: str, timeout_s: float = 5.0) -> bool:
    """True when the service at `target` says SERVING through grpc.health.v1.

    Where nobody listens that is known at once; one that gets no turn on a busy machine has `timeout_s`.
    """
    with from_environment().channel(target) as channel:
        try:
            response = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=timeout_s)
        except grpc.RpcError:
            return False
    return bool(response.status == health_pb2.HealthCheckResponse.SERVING)


def raise_unless_succeeded(run: run_pb2.Run) -> None:
    """Raises the run's own reason when it failed, BakeoffError when it was cancelled, NotReadyError while it works."""
    if run.state not in TERMINAL:
        raise NotReadyError(f"run {run.id} is not finished")
    if run.state != run_pb2.RUN_STATE_SUCCEEDED:
        raise RUN_ERRORS.get(run.error_code, BakeoffError)(run.error or "cancelled")
