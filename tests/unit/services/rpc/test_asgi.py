import asyncio
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from inference import grpc_service_pb2 as pb

from core.errors import ExhaustedError, NotReadyError
from services.rpc.asgi import GrpcApplication, Refusal
from services.rpc.asgi_context import seconds
from services.rpc.errors import GuardedServer
from services.rpc.frames import frame

LIMIT = 1000


class Caller:
    """One call as an ASGI server brings it: `events` come one after the other, then the caller stays until `leave`."""

    def __init__(self, *events: bytes, path: str = "/t.S/Echo", **headers: str) -> None:
        given = {"content-type": "application/grpc", **{name.replace("_", "-"): text for name, text in headers.items()}}
        self.scope = {"type": "http", "path": path, "headers": [(k.encode(), v.encode()) for k, v in given.items()]}
        self._events = [
            {"type": "http.request", "body": body, "more_body": number < len(events)}
            for number, body in enumerate(events, 1)
        ]
        self.sent: list[dict[str, Any]] = []
        self.left = asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        if self._events:
            return self._events.pop(0)
        await self.left.wait()
        return {"type": "http.disconnect"}

    @property
    def unread(self) -> list[dict[str, Any]]:
        return self._events

    async def send(self, event: dict[str, Any]) -> None:
        self.sent.append(event)

    @property
    def bodies(self) -> list[bytes]:
        return [event["body"] for event in self.sent if event["type"] == "http.response.body" and event["body"]]

    @property
    def status(self) -> dict[bytes, bytes]:
        """Trailers, which are in the first headers where no message was sent."""
        return {name: value for event in self.sent for name, value in event.get("headers", ())}


class Service:
    """What is called; `reached` tells that a call waits in Slow."""

    def __init__(self) -> None:
        self.reached, self.cancelled = asyncio.Event(), False

    async def echo(self, request: bytes, context: Any) -> bytes:
        return request

    async def slow(self, request: bytes, context: Any) -> bytes:
        self.reached.set()
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        return request

    async def full(self, request: bytes, context: Any) -> bytes:
        raise ExhaustedError("the queue is full", retry_after_s=0.25)

    async def loading(self, request: bytes, context: Any) -> bytes:
        raise NotReadyError("the model is loading")

    async def broken(self, request: bytes, context: Any) -> str:
        return "no bytes"

    async def each(self, requests: Any, context: Any) -> Any:
        async for request in requests:
            if request == b"full":
                raise ExhaustedError("the queue is full")
            yield request.upper()
            if request == b"slow":
                await self.slow(request, context)


def call(
    scenario: Callable[[GrpcApplication, Service], Any], compression: str = "none", refusal: Refusal | None = None
) -> Any:
    async def main() -> Any:
        application, service = GrpcApplication(LIMIT, compression, refusal=refusal), Service()
        methods = {
            "Echo": grpc.unary_unary_rpc_method_handler(service.echo),
            "Slow": grpc.unary_unary_rpc_method_handler(service.slow),
            "Full": grpc.unary_unary_rpc_method_handler(service.full),
            "Loading": grpc.unary_unary_rpc_method_handler(service.loading),
            "Typed": grpc.unary_unary_rpc_method_handler(
                service.echo, pb.ModelInferRequest.FromString, pb.ModelInferRequest.SerializeToString
            ),
            "TypedEach": grpc.stream_stream_rpc_method_handler(service.each, pb.ModelInferRequest.FromString),
            "Unwritable": grpc.unary_unary_rpc_method_handler(service.broken, response_serializer=bytes.fromhex),
            "Each": grpc.stream_stream_rpc_method_handler(service.each),
        }
        GuardedServer(application).add_generic_rpc_handlers([grpc.method_handlers_generic_handler("t.S", methods)])
        return await scenario(application, service)

    return asyncio.run(asyncio.wait_for(main(), 10))


def answered(caller_of: Callable[[], Caller], compression: str = "none") -> Caller:
    async def scenario(application: GrpcApplication, service: Service) -> Caller:
        caller = caller_of()
        await application(caller.scope, caller.receive, caller.send)
        assert application.working == 0
        return caller

    caller: Caller = call(scenario, compression)
    return caller


def test_a_message_comes_back_with_status_ok_in_trailers():
    caller = answered(lambda: Caller(frame(b"hello", "identity")))
    assert caller.bodies == [frame(b"hello", "identity")]
    assert [event["type"] for event in caller.sent] == [
        "http.response.start",
        "http.response.body",
        "http.response.trailers",
    ]
    assert caller.status[b"grpc-status"] == b"0"


def test_a_message_may_arrive_in_pieces():
    whole = frame(b"hello", "identity")
    caller = answered(lambda: Caller(whole[:3], whole[3:7], whole[7:]))
    assert caller.bodies == [whole]


def test_a_stream_answers_each_message():
    caller = answered(lambda: Caller(frame(b"a", "identity") + frame(b"b", "identity"), b"", path="/t.S/Each"))
    assert caller.bodies == [frame(b"A", "identity"), frame(b"B", "identity")]
    assert caller.status[b"grpc-status"] == b"0"


@pytest.mark.parametrize(("second", "status"), [(b"full", b"8"), (b"slow", b"4")])
def test_a_stream_that_ends_with_an_error_completes_its_body_before_the_status(second, status):
    messages = frame(b"a", "identity") + frame(second, "identity")
    caller = answered(lambda: Caller(messages, path="/t.S/Each", grpc_timeout="100m"))
    assert caller.bodies[0] == frame(b"A", "identity")
    assert caller.status[b"grpc-status"] == status
    assert [event["type"].rpartition(".")[2] for event in caller.sent[-2:]] == ["body", "trailers"]
    assert [event["more_body"] for event in caller.sent if event["type"] == "http.response.body"][-2:] == [True, False]


def test_a_domain_error_becomes_a_status_with_its_retry_hint():
    caller = answered(lambda: Caller(frame(b"", "identity"), path="/t.S/Full"))
    assert caller.bodies == []
    assert caller.status[b"grpc-status"] == b"8"
    assert caller.status[b"grpc-message"] == b"the queue is full"
    assert caller.status[b"grpc-retry-pushback-ms"] == b"250"


def test_a_service_that_is_not_ready_says_that_it_has_answered():
    caller = answered(lambda: Caller(frame(b"", "identity"), path="/t.S/Loading"))
    assert caller.status[b"grpc-status"] == b"14"
    assert caller.status[b"bakeoff-answered"] == b"1"


def test_a_call_that_is_refused_whatever_it_says_is_not_read():
    asked = []

    def refusal(method: str) -> ExhaustedError | None:
        asked.append(method)
        return ExhaustedError("the queue is full", retry_after_s=0.25) if method == "/t.S/Echo" else None

    async def scenario(application: GrpcApplication, service: Service) -> tuple[Caller, Caller]:
        callers = Caller(frame(b"hello", "identity")), Caller(frame(b"a", "identity"), path="/t.S/Each")
        for caller in callers:
            await application(caller.scope, caller.receive, caller.send)
        assert application.working == 0
        return callers

    refused, other = call(scenario, refusal=refusal)
    assert asked == ["/t.S/Echo", "/t.S/Each"]
    assert len(refused.unread) == 1
    assert refused.status[b"grpc-status"] == b"8"
    assert refused.status[b"grpc-message"] == b"the queue is full"
    assert refused.status[b"grpc-retry-pushback-ms"] == b"250"
    assert (other.bodies, other.unread) == ([frame(b"A", "identity")], [])


def test_unknown_methods_and_broken_requests_are_refused():
    assert answered(lambda: Caller(frame(b"", "identity"), path="/t.S/No")).status[b"grpc-status"] == b"12"
    assert answered(lambda: Caller(b"\0\0")).status[b"grpc-status"] == b"13"
    assert answered(lambda: Caller(b"")).status[b"grpc-status"] == b"13"
    too_long = frame(bytes(LIMIT + 1), "identity")
    assert answered(lambda: Caller(too_long)).status[b"grpc-status"] == b"8"
    two = frame(b"a", "identity") + frame(b"b", "identity")
    assert answered(lambda: Caller(two)).status[b"grpc-status"] == b"13"


def test_what_is_not_grpc_is_told_so_over_http():
    caller = answered(lambda: Caller(b"{}", content_type="application/json"))
    assert caller.sent[0]["status"] == 415


def test_answers_are_compressed_where_the_caller_accepts_it():
    caller = answered(
        lambda: Caller(frame(b"a" * 500, "gzip"), grpc_encoding="gzip", grpc_accept_encoding="gzip"), "gzip"
    )
    assert caller.status[b"grpc-encoding"] == b"gzip"
    assert len(caller.bodies[0]) < 100


def test_a_deadline_that_passes_ends_the_call():
    caller = answered(lambda: Caller(frame(b"", "identity"), path="/t.S/Slow", grpc_timeout="20m"))
    assert caller.status[b"grpc-status"] == b"4"


def test_a_caller_who_leaves_ends_its_call():
    async def scenario(application: GrpcApplication, service: Service) -> None:
        caller = Caller(frame(b"", "identity"), path="/t.S/Slow")
        running = asyncio.ensure_future(application(caller.scope, caller.receive, caller.send))
        await service.reached.wait()
        assert application.working == 1
        caller.left.set()
        await running
        assert service.cancelled
        assert caller.sent == []
        assert application.working == 0

    call(scenario)


def test_timeouts_are_read_in_every_unit_and_nonsense_is_no_time_at_all():
    times = [seconds(text) for text in ("2H", "3M", "4S", "500m", "7u", "9n")]
    assert times == pytest.approx([7200, 180, 4, 0.5, 7e-6, 9e-9])
    assert [seconds(text) for text in ("", "5", "S", "-1S", "1.5S")] == [0, 0, 0, 0, 0]


@pytest.mark.parametrize("method", ["Typed", "TypedEach"])
def test_bytes_that_are_no_message_are_the_callers_mistake(method):
    caller = answered(lambda: Caller(frame(b"\xff\xff", "identity"), path=f"/t.S/{method}"))
    assert caller.status[b"grpc-status"] == str(grpc.StatusCode.INVALID_ARGUMENT.value[0]).encode()
    assert b"not the protobuf message" in caller.status[b"grpc-message"]


def test_an_answer_that_cannot_be_written_is_no_success():
    caller = answered(lambda: Caller(frame(b"a", "identity"), path="/t.S/Unwritable"))
    assert caller.status[b"grpc-status"] == str(grpc.StatusCode.INTERNAL.value[0]).encode()


def test_too_large_a_message_in_a_stream_ends_it_with_the_limits_code():
    caller = answered(lambda: Caller(frame(bytes(2 * LIMIT), "identity"), path="/t.S/Each"))
    assert caller.status[b"grpc-status"] == str(grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]).encode()
    assert b"incident" not in caller.status[b"grpc-message"]
