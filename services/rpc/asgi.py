"""gRPC methods as an ASGI application: the handlers of grpcio, behind any server that speaks HTTP/2 with trailers.

The framing is that of "gRPC over HTTP2": https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import grpc

from core.errors import BakeoffError
from services.rpc import frames
from services.rpc.asgi_context import CallContext, Scope
from services.rpc.authorisation import Authoriser
from services.rpc.errors import status_of, trailing_of
from services.rpc.frames import FrameReader

Receive = Callable[[], Awaitable[dict[str, Any]]]
"""What it gives is a future of the server's, which must not be cancelled."""
Send = Callable[[dict[str, Any]], Awaitable[None]]
Refusal = Callable[[str], BakeoffError | None]
PATIENCE_S = 0.02
"""A call that takes longer is watched for its caller's leaving; most are done sooner and need not pay for it."""
HEADERS = [(b"content-type", b"application/grpc")]
OK_TRAILERS = {"type": "http.response.trailers", "headers": [(b"grpc-status", b"0")], "more_trailers": False}


@dataclass(frozen=True, slots=True)
class _Method:
    """A method as it is called here."""

    handler: Callable[[Any, Any], Any]
    read: Callable[[bytes], Any]
    write: Callable[[Any], bytes]
    stream_in: bool
    stream_out: bool


class GrpcApplication:
    """Takes handlers as a grpc.aio.Server does and answers calls as an ASGI application.

    Args:
        max_message_bytes: largest message accepted, after decompression too.
        compression: of answers, for callers that accept it: none, deflate or gzip.
        authoriser: asked before a call is read; None: whoever reaches the port may call.
        refusal: asked after it, with the method: an error ends the call before it is read. Most of what refusing costs
            an overloaded service is reading what it refuses.
    """

    def __init__(
        self,
        max_message_bytes: int,
        compression: str = "none",
        authoriser: Authoriser | None = None,
        refusal: Refusal | None = None,
    ) -> None:
        self._limit, self._compression, self._authoriser = max_message_bytes, compression, authoriser
        self._refusal = refusal
        self._methods: dict[str, _Method] = {}
        self._generic: list[grpc.GenericRpcHandler] = []
        self.working = 0
        """Calls in flight whose caller waits for an answer: those without a response stream."""

    def add_generic_rpc_handlers(self, handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """As grpc.aio.Server has it."""
        self._generic += handlers

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, grpc.RpcMethodHandler]) -> None:
        """As grpc.aio.Server has it."""
        for name, handler in handlers.items():
            self._methods[f"/{service}/{name}"] = _method(handler)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One call."""
        context = CallContext(scope)
        if not context.headers.get(b"content-type", b"").startswith(b"application/grpc"):
            await send({"type": "http.response.start", "status": 415, "headers": []})
            await send({"type": "http.response.body", "body": b"this server speaks gRPC\n"})
            return
        call = _Call(context, receive, send, self._limit)
        if self._authoriser is not None:
            try:
                self._authoriser.check(scope["path"], context.invocation_metadata())
            except BakeoffError as error:
                await call.end(*status_of(error))
                return
        method = self._method(scope["path"])
        if method is None:
            await call.end(grpc.StatusCode.UNIMPLEMENTED, f"no method {scope['path']}")
            return
        if self._refusal is not None and (refused := self._refusal(scope["path"])) is not None:
            context.trailing = list(trailing_of(refused))
            await call.end(*status_of(refused))
            return
        context.compression = frames.agreed(self._compression, context.headers.get(b"grpc-accept-encoding", b""))
        waited_for = method.stream_in or not method.stream_out
        self.working += waited_for
        try:
            await call.run(method)
        finally:
            self.working -= waited_for

    def _method(self, path: str) -> _Method | None:
        method = self._methods.get(path)
        if method is not None:
            return method
        details = _Details(path, ())
        for generic in self._generic:
            handler = generic.service(details)
            if handler is not None:
                self._methods[path] = _method(handler)
                return self._methods[path]
        return None


@dataclass(frozen=True)
class _Details(grpc.HandlerCallDetails):
    """What a generic handler is asked with."""

    method: str
    invocation_metadata: tuple[tuple[str, str], ...]


def _method(handler: grpc.RpcMethodHandler) -> _Method:
    functions = (handler.unary_unary, handler.unary_stream, handler.stream_unary, handler.stream_stream)
    (function,) = [one for one in functions if one is not None]
    return _Method(
        function,
        handler.request_deserializer or _same,
        handler.response_serializer or _same,
        handler.request_streaming,
        handler.response_streaming,
    )


def _same(message: Any) -> Any:
    return message


class _Call:
    """One call: reads messages, has the method run, writes messages and the status."""

    def __init__(self, context: CallContext, receive: Receive, send: Send, limit: int) -> None:
        self._context, self._receive, self._transport = context, receive, send
        self._limit = limit
        self._started = self._gone = self._expired = self._read_all = self._over = self._ended = False
        self._lost = False
        self._watcher: asyncio.Future[dict[str, Any]] | None = None
        self._task: asyncio.Task[Any] | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def run(self, method: _Method) -> None:
        """Answers the call, with a status whatever happens; says nothing to a caller who left."""
        loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        left = self._context.time_remaining()
        self._timer = loop.call_later(PATIENCE_S if left is None else min(PATIENCE_S, max(0.0, left)), self._overdue)
        try:
            if method.stream_in:
                requests: Any = map_async(method.read, self._messages())
            else:
                requests = method.read(await self._message())
            if method.stream_out:
                await self._stream(method, requests)
            else:
                await self._answer(method.write(await method.handler(requests, self._context)))
        except grpc.aio.AbortError:
            await self.end(self._context.code, self._context.details)
        except Exception as error:
            if self._lost:
                raise  # The caller left while something was sent: the server's affair.
            # Without a status the caller would take what came so far for the whole answer.
            await self.end(*status_of(error))
        except asyncio.CancelledError:
            if self._expired:
                await self.end(grpc.StatusCode.DEADLINE_EXCEEDED, "the deadline passed")
            elif not self._gone:
                raise
        finally:
            self._over = True
            self._timer.cancel()
            # A future is the server's, which will not expect to find it cancelled.
            if isinstance(self._watcher, asyncio.Task):
                self._watcher.cancel()

    async def end(self, code: grpc.StatusCode, details: str) -> None:
        """Ends the call with a status, in the headers where no message was sent."""
        trailers = frames.status(code, details, self._context.trailing)
        if self._started:
            await self._end_body()
            await self._send({"type": "http.response.trailers", "headers": trailers, "more_trailers": False})
            return
        await self._send({"type": "http.response.start", "status": 200, "headers": [*HEADERS, *trailers]})
        await self._send({"type": "http.response.body", "body": b""})

    async def _send(self, event: dict[str, Any]) -> None:
        try:
            await self._transport(event)
        except Exception:
            self._lost = True
            raise

    async def _answer(self, message: bytes) -> None:
        """The only message of a call and its status."""
        await self._start()
        body = frames.frame(message, self._context.compression)
        self._ended = True
        await self._send({"type": "http.response.body", "body": body, "more_body": False})
        await self._finish()

    async def _stream(self, method: _Method, requests: Any) -> None:
        """Writes what the method gives; one that writes to the context itself gives nothing."""

        async def write(message: Any) -> None:
            await self._start()
            body = frames.frame(method.write(message), self._context.compression)
            sent = asyncio.ensure_future(self._send({"type": "http.response.body", "body": body, "more_body": True}))
            # Where the call is cancelled meanwhile nobody asks any more how it went: a caller who left is no news.
            sent.add_done_callback(lambda done: done.cancelled() or done.exception())
            await asyncio.shield(sent)

        self._context.writer = write
        responses = method.handler(requests, self._context)
        async with contextlib.aclosing(responses):
            async for response in responses:
                await write(response)
        await self._start()
        await self._end_body()
        await self._finish()

    async def _start(self) -> None:
        if self._started:
            return
        self._started = True
        headers = frames.response_headers(HEADERS, self._context.compression)
        await self._send({"type": "http.response.start", "status": 200, "headers": headers, "trailers": True})

    async def _end_body(self) -> None:
        """Trailers may follow only a body that is complete: a stream may end with a status after any message."""
        if not self._ended:
            self._ended = True
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _finish(self) -> None:
        if self._context.trailing:
            await self.end(grpc.StatusCode.OK, "")
        else:
            await self._send(OK_TRAILERS)

    async def _message(self) -> bytes:
        """The only message of a request."""
        event = await self._receive()
        self._took(event)
        reader, body = self._frames(), event.get("body", b"")
        if self._read_all and (message := frames.whole(body, reader)) is not None:
            return message
        messages = reader.feed(body)
        while not self._read_all:
            event = await asyncio.shield(self._receive())
            self._took(event)
            messages += reader.feed(event.get("body", b""))
        reader.finish()
        if len(messages) != 1:
            raise frames.FrameError(grpc.StatusCode.INTERNAL, f"{len(messages)} messages in a call that takes one")
        return messages[0]

    async def _messages(self) -> AsyncIterator[bytes]:
        """The messages of a request stream."""
        reader = self._frames()
        while not self._read_all:
            event = await asyncio.shield(self._receive())
            self._took(event)
            for message in reader.feed(event.get("body", b"")):
                yield message
        reader.finish()

    def _frames(self) -> FrameReader:
        return FrameReader(self._limit, self._context.headers.get(b"grpc-encoding", b"identity").decode("latin-1"))

    def _took(self, event: dict[str, Any]) -> None:
        """Notes the end of the request. Raises CancelledError when the caller left."""
        if event["type"] == "http.disconnect":
            self._gone = True
            assert self._task is not None
            self._task.cancel()
            raise asyncio.CancelledError
        self._read_all = not event.get("more_body", False)

    def _overdue(self) -> None:
        """The call takes a while: from here on its deadline and its caller are watched."""
        left = self._context.time_remaining()
        if left is not None and left <= 0:
            self._expired = True
            assert self._task is not None
            self._task.cancel()
            return
        if self._watcher is None and self._read_all:
            self._watcher = asyncio.ensure_future(self._receive())
            self._watcher.add_done_callback(self._received_more)
        wait = left if self._watcher is not None else PATIENCE_S if left is None else min(PATIENCE_S, left)
        if wait is not None:
            self._timer = asyncio.get_running_loop().call_later(wait, self._overdue)

    def _received_more(self, event: "asyncio.Future[dict[str, Any]]") -> None:
        """Cancels the call when its caller left; after the end of a request nothing else can come."""
        if self._over or event.cancelled() or event.result()["type"] != "http.disconnect":
            return
        self._gone = True
        assert self._task is not None
        self._task.cancel()


async def map_async(function: Callable[[bytes], Any], items: AsyncIterator[bytes]) -> AsyncIterator[Any]:
    """`function` of each item."""
    async for item in items:
        yield function(item)
