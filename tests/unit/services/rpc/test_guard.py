"""Handlers added through the guard: codes, retry hints, streams, and nothing wrapped twice."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import pytest
from inference import grpc_service_pb2 as pb
from inference import grpc_service_pb2_grpc as stubs

from core.errors import BakeoffError, ExhaustedError, InvalidInputError, NotReadyError
from services.client.aio_inference import AsyncInferenceClient
from services.rpc.errors import PUSHBACK, GuardedServer, from_rpc, retry_hint
from services.rpc.server import server_options
from services.rpc.settings import ServiceSettings

SERVICE = "test.Service"
Scenario = Callable[[str], Awaitable[None]]


def echo(value: bytes) -> bytes:
    return value


def serve(add: Callable[[Any], object], scenario: Scenario, **settings: Any) -> None:
    """Runs a scenario against a server on loopback."""

    async def main() -> None:
        server = grpc.aio.server(options=server_options(ServiceSettings(**settings)))
        add(GuardedServer(server))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            await scenario(f"127.0.0.1:{port}")
        finally:
            await server.stop(0)

    asyncio.run(asyncio.wait_for(main(), 20))


def with_method(handler: grpc.RpcMethodHandler) -> Callable[[Any], object]:
    generic = grpc.method_handlers_generic_handler(SERVICE, {"Call": handler})
    return lambda server: server.add_generic_rpc_handlers((generic,))


async def failing_call(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


def test_a_domain_error_ends_the_call_with_its_code_and_message() -> None:
    async def broken(_request: bytes, _context: object) -> bytes:
        raise InvalidInputError("what is wrong")

    async def scenario(target: str) -> None:
        async with grpc.aio.insecure_channel(target) as channel:
            for _ in range(2):
                error = await failing_call(channel.unary_unary(f"/{SERVICE}/Call")(b""))
                assert (error.code(), error.details()) == (grpc.StatusCode.INVALID_ARGUMENT, "what is wrong")
            error = await failing_call(channel.unary_unary(f"/{SERVICE}/Other")(b""))
            assert error.code() is grpc.StatusCode.UNIMPLEMENTED

    serve(with_method(grpc.unary_unary_rpc_method_handler(broken, echo, echo)), scenario)


def test_a_service_that_answers_that_it_cannot_yet_is_not_said_to_be_away() -> None:
    async def waiting(_request: bytes, _context: object) -> bytes:
        raise NotReadyError("the hub cannot be reached")

    async def scenario(target: str) -> None:
        def call() -> BakeoffError:
            with grpc.insecure_channel(target) as channel, pytest.raises(grpc.RpcError) as caught:
                channel.unary_unary(f"/{SERVICE}/Call")(b"", timeout=5)
            return from_rpc(caught.value, target)

        error = await asyncio.to_thread(call)
        assert (type(error), str(error)) == (NotReadyError, "the hub cannot be reached")

    serve(with_method(grpc.unary_unary_rpc_method_handler(waiting, echo, echo)), scenario)


def test_where_no_service_answers_the_error_names_its_address() -> None:
    with grpc.insecure_channel("127.0.0.1:1") as channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(f"/{SERVICE}/Call")(b"", timeout=5)
    error = from_rpc(caught.value, "127.0.0.1:1")
    assert isinstance(error, NotReadyError)
    assert str(error).startswith("127.0.0.1:1 is not available: ")


def test_a_stream_that_breaks_keeps_what_came_before_and_ends_with_the_code() -> None:
    async def breaking(_request: bytes, _context: object) -> AsyncIterator[bytes]:
        yield b"first"
        raise ExhaustedError("full", retry_after_s=2.5)

    async def scenario(target: str) -> None:
        async with grpc.aio.insecure_channel(target) as channel:
            call = channel.unary_stream(f"/{SERVICE}/Call")(b"")
            assert await call.read() == b"first"
            error = await failing_call(call.read())
            assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert dict(error.trailing_metadata())[PUSHBACK] == "2500"

    serve(with_method(grpc.unary_stream_rpc_method_handler(breaking, echo, echo)), scenario)


class Full(stubs.GRPCInferenceServiceServicer):
    """Refuses the first call, with or without a hint, and answers the next."""

    def __init__(self, retry_after_s: float | None) -> None:
        self._retry_after_s = retry_after_s
        self.arrivals: list[float] = []

    async def ModelInfer(self, request: pb.ModelInferRequest, context: object) -> pb.ModelInferResponse:  # noqa: N802
        self.arrivals.append(time.monotonic())
        if len(self.arrivals) == 1:
            raise ExhaustedError("full", self._retry_after_s)
        return pb.ModelInferResponse(id=request.id)


def test_a_refused_client_comes_back_when_it_was_told_to() -> None:
    servicer = Full(0.4)

    async def scenario(target: str) -> None:
        async with AsyncInferenceClient(target) as client:
            assert (await client.infer(pb.ModelInferRequest(id="7"))).id == "7"

    serve(lambda server: stubs.add_GRPCInferenceServiceServicer_to_server(servicer, server), scenario)
    first, second = servicer.arrivals
    # Its own first backoff is at most 0.12 s.
    assert 0.39 <= second - first < 2


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        (ExhaustedError("full", 1.25), ((PUSHBACK, "1250"),)),
        (ExhaustedError("full", 0.0), ((PUSHBACK, "1"),)),
        (ExhaustedError("too large"), ()),
        (BakeoffError("x"), ()),
        (ValueError("x"), ()),
    ],
)
def test_only_a_refusal_that_will_pass_carries_a_hint(error: Exception, hint: tuple[Any, ...]) -> None:
    assert retry_hint(error) == hint


def test_connections_are_renewed_and_probed_when_the_settings_say_so() -> None:
    plain = dict(server_options(ServiceSettings()))
    assert not {"grpc.keepalive_time_ms", "grpc.max_connection_age_ms"} & plain.keys()
    given = dict(server_options(ServiceSettings(keepalive_s=20, max_connection_age_s=0.5, drain_s=3)))
    assert given["grpc.keepalive_time_ms"] == 20_000
    # Clients that probe every 20 s too must not be thrown out for a ping that came a moment early.
    assert given["grpc.http2.min_ping_interval_without_data_ms"] == 10_000
    assert (given["grpc.max_connection_age_ms"], given["grpc.max_connection_age_grace_ms"]) == (500, 3000)


def test_a_renewed_connection_fails_no_call() -> None:
    async def slow(request: bytes, _context: object) -> bytes:
        await asyncio.sleep(0.05)
        return request

    async def scenario(target: str) -> None:
        async with grpc.aio.insecure_channel(target) as channel:
            call = channel.unary_unary(f"/{SERVICE}/Call")
            for _ in range(12):
                assert await call(b"x", wait_for_ready=True) == b"x"

    serve(with_method(grpc.unary_unary_rpc_method_handler(slow, echo, echo)), scenario, max_connection_age_s=0.1)
