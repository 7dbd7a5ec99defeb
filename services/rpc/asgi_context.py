"""What a gRPC handler sees of a call over ASGI: the part of grpc.aio.ServicerContext that handlers here use."""

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NoReturn

import grpc

Scope = dict[str, Any]
UNITS_S = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
"""Of the header grpc-timeout."""
Metadata = Sequence[tuple[str, str]]


class CallContext:
    """One call."""

    def __init__(self, scope: Scope) -> None:
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.code, self.details = grpc.StatusCode.OK, ""
        self.trailing: list[tuple[str, str]] = []
        self.compression = "identity"
        """Of the answer."""
        self.writer: Callable[[Any], Awaitable[None]] | None = None
        """Sends one message of a response stream."""
        self._client = scope.get("client")
        timeout = self.headers.get(b"grpc-timeout")
        self._until = None if timeout is None else time.monotonic() + seconds(timeout.decode("latin-1"))

    def time_remaining(self) -> float | None:
        """Seconds until the caller's deadline; None where it set none."""
        return None if self._until is None else self._until - time.monotonic()

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        """The caller's headers."""
        return tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in self.headers.items())

    def peer(self) -> str:
        """The caller's address, as gRPC writes it."""
        return f"ipv4:{self._client[0]}:{self._client[1]}" if self._client else "unknown"

    def set_trailing_metadata(self, metadata: Metadata) -> None:
        """What goes out with the status."""
        self.trailing = list(metadata)

    async def write(self, message: Any) -> None:
        """Sends a message of a response stream."""
        assert self.writer is not None, "this call has one answer"
        await self.writer(message)

    async def abort(self, code: grpc.StatusCode, details: str = "", trailing_metadata: Metadata = ()) -> NoReturn:
        """Ends the call with a status."""
        self.code, self.details = code, details
        if trailing_metadata:
            self.trailing = list(trailing_metadata)
        raise grpc.aio.AbortError


def seconds(timeout: str) -> float:
    """The value of a grpc-timeout header; what is not one counts as no time at all, so that its call ends at once."""
    number, unit = timeout[:-1], timeout[-1:]
    if unit not in UNITS_S or not number.isdecimal():
        return 0.0
    return int(number) * UNITS_S[unit]
