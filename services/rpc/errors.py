"""One guard around every handler turns domain errors into gRPC status codes."""

import inspect
import logging
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any, NoReturn

import grpc
from google.protobuf.message import DecodeError

from core import errors
from core.errors import InvalidInputError
from services.rpc import logs
from services.rpc.frames import FrameError

log = logging.getLogger(__name__)

CODES: dict[type[errors.BakeoffError], grpc.StatusCode] = {
    errors.InvalidInputError: grpc.StatusCode.INVALID_ARGUMENT,
    errors.NotFoundError: grpc.StatusCode.NOT_FOUND,
    errors.AlreadyExistsError: grpc.StatusCode.ALREADY_EXISTS,
    errors.NotReadyError: grpc.StatusCode.UNAVAILABLE,
    errors.WrongStateError: grpc.StatusCode.FAILED_PRECONDITION,
    errors.ExhaustedError: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.CancelledError: grpc.StatusCode.CANCELLED,
    errors.DeadlineError: grpc.StatusCode.DEADLINE_EXCEEDED,
    errors.UnauthenticatedError: grpc.StatusCode.UNAUTHENTICATED,
    errors.DeniedError: grpc.StatusCode.PERMISSION_DENIED,
    errors.MissingExtraError: grpc.StatusCode.UNIMPLEMENTED,
}
BY_CODE: dict[grpc.StatusCode, type[errors.BakeoffError]] = {
    **{code: kind for kind, code in CODES.items() if kind is not errors.MissingExtraError},
    grpc.StatusCode.UNIMPLEMENTED: errors.UnsupportedError,
}
"""What a client makes of a code; a service that lacks a library and one that lacks the call look the same to it."""
RUN_CODES = {
    kind.__name__: code for kind, code in {**CODES, errors.DivergedError: grpc.StatusCode.OUT_OF_RANGE}.items()
}
"""Of a failed run, by the class of its reason."""
RUN_ERRORS = {
    RUN_CODES[kind.__name__].value[0]: kind
    for kind in (
        errors.InvalidInputError,
        errors.NotFoundError,
        errors.WrongStateError,
        errors.ExhaustedError,
        errors.DivergedError,
    )
}
"""What a client makes of them. Others would be mistaken for an answer of the service itself: not ready, cancelled."""
PUSHBACK = "grpc-retry-pushback-ms"
"""Defined with gRPC's retry policy: a client that may try again waits for this long instead of its own backoff."""
ANSWERED = "bakeoff-answered"
"""Defined here, beside UNAVAILABLE alone: the service said it, and not gRPC for want of one."""
CODE = "grpc-code"
"""Parameter of an error inside a stream: name of the code that a call of its own would have ended with."""
LONGEST_BYTES = 2000
"""Of an error message. As metadata it may become three times as long, and beyond 8 KiB that need not arrive."""
Handler = Callable[[Any, grpc.aio.ServicerContext], Any]
Read = Callable[[bytes], Any]


def status_of(error: Exception, request: object = None) -> tuple[grpc.StatusCode, str]:
    """Code and message for the client. What nobody foresaw is logged once, with an id the client gets too.

    Args:
        request: the message it was about; its id and model go into the log. Refusals are logged at DEBUG only.
    """
    if isinstance(error, FrameError):
        return error.code, _shortened(str(error))
    for kind, code in CODES.items():
        if isinstance(error, kind):
            if log.isEnabledFor(logging.DEBUG):
                extra = {**logs.about(error, request), "code": code.name}
                log.debug("refused with %s: %s", code.name, error, extra=extra)
            return code, _shortened(str(error))
    incident = uuid.uuid4().hex[:12]
    extra = {**logs.about(error, request), "code": grpc.StatusCode.INTERNAL.name, "incident": incident}
    log.error("incident %s", incident, exc_info=error, extra=extra)
    return grpc.StatusCode.INTERNAL, f"internal error, incident {incident}: see the service's log"


def _shortened(message: str) -> str:
    """A message that fits into metadata: it may quote what the caller sent, however long that is."""
    data = message.encode(errors="replace")
    return message if len(data) <= LONGEST_BYTES else data[:LONGEST_BYTES].decode(errors="ignore") + "…"


def from_rpc(error: grpc.RpcError, target: str) -> errors.BakeoffError:
    """The domain error behind a failed call, for clients; unknown codes become BakeoffError naming code and target."""
    code, details = error.code(), error.details() or ""
    if code is grpc.StatusCode.UNAVAILABLE:
        answered = any(key == ANSWERED for key, _ in error.trailing_metadata() or ())
        return errors.NotReadyError(details if answered else f"{target} is not available: {details}")
    kind = BY_CODE.get(code)
    return kind(details) if kind else errors.BakeoffError(f"{target}: {code.name} {details}")


def retry_hint(error: Exception) -> tuple[tuple[str, str], ...]:
    """Trailing metadata that says when to try again. gRPC's own retries follow it in every language."""
    if not isinstance(error, errors.ExhaustedError) or error.retry_after_s is None:
        return ()
    return ((PUSHBACK, str(max(1, round(1000 * error.retry_after_s)))),)


def trailing_of(error: Exception) -> tuple[tuple[str, str], ...]:
    """Trailing metadata beside the status of a call that failed."""
    return ((ANSWERED, "1"),) if isinstance(error, errors.NotReadyError) else retry_hint(error)


def refusal(error: Exception) -> grpc.RpcMethodHandler:
    """A handler for any method, unary or streaming, that ends the call with an error before it reads a message."""

    async def refuse(_requests: Any, context: grpc.aio.ServicerContext) -> AsyncIterator[Any]:
        await _abort(context, error)
        yield

    return grpc.stream_stream_rpc_method_handler(refuse)


class GuardedServer:
    """What servicers are added to instead of the server: a domain error in a handler ends the call with its code.

    Handlers are wrapped once, when they are added; an interceptor would wrap them again for every call.
    """

    def __init__(self, server: grpc.aio.Server) -> None:
        self._server = server

    def add_generic_rpc_handlers(self, handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """As grpc.aio.Server has it."""
        self._server.add_generic_rpc_handlers([_GuardedHandlers(one) for one in handlers])

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, grpc.RpcMethodHandler]) -> None:
        """As grpc.aio.Server has it."""
        guarded = {name: guard(handler) for name, handler in handlers.items()}
        self._server.add_registered_method_handlers(service, guarded)


class _GuardedHandlers(grpc.GenericRpcHandler):
    """The handlers of one service, each guarded when it is first asked for."""

    def __init__(self, inner: grpc.GenericRpcHandler) -> None:
        self._inner = inner
        self._guarded: dict[str, grpc.RpcMethodHandler] = {}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        """The handler of a method; None for a method it does not have, and none of those is remembered."""
        method = handler_call_details.method
        if method not in self._guarded:
            handler = self._inner.service(handler_call_details)
            if handler is None:
                return None
            self._guarded[method] = guard(handler)
        return self._guarded[method]


def guard(handler: grpc.RpcMethodHandler) -> grpc.RpcMethodHandler:
    """The same handler, with domain errors turned into status codes."""
    if handler.response_streaming:
        make = (
            grpc.stream_stream_rpc_method_handler if handler.request_streaming else grpc.unary_stream_rpc_method_handler
        )
        inner = _wrap_stream(
            handler.stream_stream if handler.request_streaming else handler.unary_stream,
            _reader(handler.request_deserializer),
            handler.request_streaming,
        )
    else:
        make = (
            grpc.stream_unary_rpc_method_handler if handler.request_streaming else grpc.unary_unary_rpc_method_handler
        )
        inner = _wrap_unary(
            handler.stream_unary if handler.request_streaming else handler.unary_unary,
            _reader(handler.request_deserializer),
            handler.request_streaming,
        )
    # Messages are read inside: one that cannot be read is the caller's mistake, and each transport would call it
    # something else.
    return make(inner, None, handler.response_serializer)


def _reader(read: Read | None) -> Read:
    """Reads a message. It raises InvalidInputError for bytes that are none."""

    def checked(data: bytes) -> Any:
        try:
            return data if read is None else read(data)
        except DecodeError as error:
            raise InvalidInputError(
                f"the request is not the protobuf message of this method ({error}); see the service's definition"
            ) from error

    return checked


async def _read_each(requests: AsyncIterator[bytes], read: Read) -> AsyncIterator[Any]:
    async for request in requests:
        yield read(request)


def _wrap_unary(inner: Handler, read: Read, streaming: bool) -> Handler:
    async def call(data: Any, context: grpc.aio.ServicerContext) -> Any:
        request = None
        try:
            request = _read_each(data, read) if streaming else read(data)
            return await inner(request, context)
        except Exception as error:
            await _abort(context, error, request)

    return call


def _wrap_stream(inner: Handler, read: Read, streaming: bool) -> Handler:
    async def call(data: Any, context: grpc.aio.ServicerContext) -> AsyncIterator[Any]:
        try:
            responses = inner(_read_each(data, read) if streaming else read(data), context)
            if inspect.isawaitable(responses):
                # A handler that writes to the context itself, as grpc.health.v1's Watch does.
                await responses
                return
            async for response in responses:
                yield response
        except Exception as error:
            await _abort(context, error)

    return call


async def _abort(context: grpc.aio.ServicerContext, error: Exception, request: object = None) -> NoReturn:
    if isinstance(error, grpc.aio.AbortError):
        raise error
    code, message = status_of(error, request)
    await context.abort(code, message, trailing_of(error))
    raise AssertionError("abort always raises")
