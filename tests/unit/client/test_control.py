"""What a client makes of a service that takes its time. The server is a real one with a servicer of its own."""

import threading
from collections.abc import Iterator
from concurrent import futures
from types import SimpleNamespace

import grpc
import pytest
from bakeoff.run.v1 import run_pb2
from bakeoff.trainer.v1 import trainer_service_pb2 as pb
from bakeoff.trainer.v1 import trainer_service_pb2_grpc as pb_grpc

from core.errors import CancelledError, DeadlineError, InvalidInputError, UnsupportedError
from core.schemas.data import DataSpec, DigitsSource, ImageSpec
from core.schemas.specs import PrepareSpec
from services.client import control
from services.client.control import TrainerClient

SPEC = PrepareSpec(data=DataSpec(source=DigitsSource(), image=ImageSpec(height=8, width=8)), source_digest="d")
DEADLINE_S = 1.0


class Slow(pb_grpc.TrainerServiceServicer):
    """Takes longer than any deadline; creating a run goes better after some attempts."""

    def __init__(self) -> None:
        self.created, self.slow_attempts = 0, 1
        self.reached, self.ended = threading.Event(), threading.Event()

    def CreateRun(self, request: pb.CreateRunRequest, context: grpc.ServicerContext) -> pb.CreateRunResponse:  # noqa: N802
        self.created += 1
        if self.created <= self.slow_attempts:
            self.ended.wait(60)
        return pb.CreateRunResponse(run=run_pb2.Run(id=request.id))

    def CheckRun(self, request: pb.CheckRunRequest, context: grpc.ServicerContext) -> pb.CheckRunResponse:  # noqa: N802
        if "digits" in request.spec_json:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "too small")
        return pb.CheckRunResponse()

    def InspectSource(  # noqa: N802
        self, request: pb.InspectSourceRequest, context: grpc.ServicerContext
    ) -> pb.InspectSourceResponse:
        self.reached.set()
        self.ended.wait(60)
        return pb.InspectSourceResponse()


@pytest.fixture
def slow() -> Slow:
    return Slow()


@pytest.fixture
def client(slow: Slow, monkeypatch: pytest.MonkeyPatch) -> Iterator[TrainerClient]:
    monkeypatch.setattr(control, "LOOK_TIMEOUT_S", DEADLINE_S)
    monkeypatch.setattr(control, "RECONNECT_S", 0.0)
    server = grpc.server(futures.ThreadPoolExecutor(4))
    pb_grpc.add_TrainerServiceServicer_to_server(slow, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with TrainerClient(f"127.0.0.1:{port}") as found:
        grpc.channel_ready_future(found._channel).result(60)  # The deadlines are for answers, not for connecting.
        yield found
    slow.ended.set()
    server.stop(0).wait()


def test_a_call_that_takes_too_long_says_where_how_long_and_at_what(client: TrainerClient) -> None:
    message = rf"^{client.target} did not look at the data source within 1 s: Deadline Exceeded"
    with pytest.raises(DeadlineError, match=message):
        client.inspect(DigitsSource())


def test_a_run_that_was_not_accepted_in_time_is_asked_for_once_more(client: TrainerClient, slow: Slow) -> None:
    assert client.create("slow", SPEC).id == "slow"
    assert slow.created == 2


def test_a_service_that_never_answers_in_time_is_given_up(client: TrainerClient, slow: Slow) -> None:
    client._patience_s, slow.slow_attempts = 0.0, 9
    with pytest.raises(DeadlineError, match="did not accept the run within"):
        client.create("never", SPEC)
    assert slow.created == 2


def test_a_service_that_is_too_old_to_be_asked_says_that_and_blames_no_file() -> None:
    server = grpc.server(futures.ThreadPoolExecutor(1))  # without a servicer: as one that does not know the call
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with (
        TrainerClient(f"127.0.0.1:{port}") as client,
        pytest.raises(UnsupportedError, match=rf"^{client.target} cannot say .* older than this command; upgrade it"),
    ):
        client.check(SPEC)
    server.stop(0).wait()


def test_a_call_that_waits_can_be_abandoned_and_the_next_one_is_answered(
    client: TrainerClient, slow: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    def abandon() -> None:
        slow.reached.wait(60)
        client.abandon()

    monkeypatch.setattr(control, "LOOK_TIMEOUT_S", 60.0)
    slow.slow_attempts = 0
    threading.Thread(target=abandon).start()
    with pytest.raises(CancelledError):
        client.inspect(DigitsSource())
    assert client.create("next", SPEC).id == "next"


def test_a_call_that_is_just_being_made_is_abandoned_too(
    client: TrainerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    inspect = client._stub.InspectSource

    def made_while_abandoned(*given: object, **options: object) -> grpc.Future:
        call = inspect.future(*given, **options)
        abandoning = threading.Thread(target=client.abandon)
        abandoning.start()
        abandoning.join(0.2)
        return call

    monkeypatch.setattr(control, "LOOK_TIMEOUT_S", 60.0)
    monkeypatch.setattr(client._stub, "InspectSource", SimpleNamespace(future=made_while_abandoned))
    with pytest.raises(CancelledError):
        client.inspect(DigitsSource())


def test_a_check_gives_the_services_reason(client: TrainerClient) -> None:
    with pytest.raises(InvalidInputError, match="too small"):
        client.check(SPEC)
