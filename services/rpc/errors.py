"""One interceptor turns domain errors into gRPC status codes."""

import inspect
import logging
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NoReturn

import grpc

from core import errors

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
    errors.MissingExtraError: grpc.StatusCode.UNIMPLEMENTED,
}
BY_CODE = {code: kind for kind, code in CODES.items() if kind is not errors.MissingExtraError}
Handler = Callable[[Any, grpc.aio.ServicerContext], Any]


def status_of(error: Exception) -> tuple[grpc.StatusCode, str]:
    """Code and message for the client. What nobody foresaw is logged once, with an id the client gets too."""
    for kind, code in CODES.items():
        if isinstance(error, kind):
            return code, str(error)
    incident = uuid.uuid4().hex[:12]
    log.error("incident %s", incident, exc_info=error)
    return grpc.StatusCode.INTERNAL, f"internal error, incident {incident}: see the service's log"


def from_rpc(error: grpc.RpcError, target: str) -> errors.BakeoffError:
    """The domain error behind a failed call, for clients; unknown codes become BakeoffError naming code and target."""
    code, details = error.code(), error.details() or ""
    if code is grpc.StatusCode.UNAVAILABLE:
        return errors.NotReadyError(f"{target} is not available: {details}")
    kind = BY_CODE.get(code)
    return kind(details) if kind else errors.BakeoffError(f"{target}: {code.name} {details}")


class ErrorInterceptor(grpc.aio.ServerInterceptor):
    """Wraps every handler so that a domain error ends the call with its code."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler:
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        if handler.response_streaming:
            wrap, make = (
                _wrap_stream,
                (
                    grpc.stream_stream_rpc_method_handler
                    if handler.request_streaming
                    else grpc.unary_stream_rpc_method_handler
                ),
            )
            inner = handler.stream_stream if handler.request_streaming else handler.unary_stream
            return make(wrap(inner), handler.request_deserializer, handler.response_serializer)
        make = (
            grpc.stream_unary_rpc_method_handler if handler.request_streaming else grpc.unary_unary_rpc_method_handler
        )
        inner = handler.stream_unary if handler.request_streaming else handler.unary_unary
        return make(_wrap_unary(inner), handler.request_deserializer, handler.response_serializer)


def _wrap_unary(inner: Handler) -> Handler:
    async def call(request: Any, context: grpc.aio.ServicerContext) -> Any:
        try:
            return await inner(request, context)
        except Exception as error:
            await _abort(context, error)

    return call


def _wrap_stream(inner: Handler) -> Handler:
    async def call(request: Any, context: grpc.aio.ServicerContext) -> AsyncIterator[Any]:
        try:
            responses = inner(request, context)
            if inspect.isawaitable(responses):
                # A handler that writes to the context itself, as grpc.health.v1's Watch does.
                await responses
                return
            async for response in responses:
                yield response
        except Exception as error:
            await _abort(context, error)

    return call


async def _abort(context: grpc.aio.ServicerContext, error: Exception) -> NoReturn:
    if isinstance(error, grpc.aio.AbortError):
        raise error
    code, message = status_of(error)
    await context.abort(code, message)
    raise AssertionError("abort always raises")
