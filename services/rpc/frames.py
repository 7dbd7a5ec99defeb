"""gRPC's framing of messages and statuses, without any transport.

From https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md: before each message go a byte that says whether it
is compressed and its length as four bytes, big endian.
"""

import struct
import zlib
from collections.abc import Sequence
from urllib.parse import quote

import grpc

PREFIX = struct.Struct(">BI")
WBITS = {"gzip": 31, "deflate": 15}
PLAIN = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")
"""What grpc-message carries as it is; all else is percent-encoded."""
Headers = list[tuple[bytes, bytes]]


class FrameError(Exception):
    """What arrived is no gRPC message, or too large a one."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code


class FrameReader:
    """Puts the messages of one request together again.

    Args:
        limit: most bytes of a message, after decompression too.
        encoding: of compressed messages, as the header grpc-encoding names it.
    """

    def __init__(self, limit: int, encoding: str) -> None:
        self._limit, self._encoding = limit, encoding
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that `data` completes. Raises FrameError."""
        self._buffer += data
        messages = []
        while len(self._buffer) >= PREFIX.size:
            compressed, length = PREFIX.unpack_from(self._buffer)
            self._check(length)
            end = PREFIX.size + length
            if len(self._buffer) < end:
                break
            messages.append(self.unpack(compressed, bytes(self._buffer[PREFIX.size : end])))
            del self._buffer[:end]
        return messages

    def finish(self) -> None:
        """Nothing more comes. Raises FrameError when a message is cut off."""
        if self._buffer:
            raise FrameError(grpc.StatusCode.INTERNAL, "the request ends within a message")

    def unpack(self, compressed: int, data: bytes) -> bytes:
        """A message as it was before compression. Raises FrameError."""
        self._check(len(data))
        if not compressed:
            return data
        if self._encoding not in WBITS:
            known = ", ".join(WBITS)
            raise FrameError(grpc.StatusCode.UNIMPLEMENTED, f"grpc-encoding {self._encoding!r}; known: {known}")
        inflater = zlib.decompressobj(WBITS[self._encoding])
        try:
            plain = inflater.decompress(data, self._limit + 1)
        except zlib.error as error:
            raise FrameError(grpc.StatusCode.INTERNAL, f"a message is not {self._encoding}: {error}") from error
        self._check(len(plain))
        return plain

    def _check(self, length: int) -> None:
        if length > self._limit:
            raise FrameError(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"a message of {length} bytes or more, at most {self._limit} are taken (--max-message-bytes)",
            )


def whole(body: bytes, reader: FrameReader) -> bytes | None:
    """The message of a body that is exactly one frame; None for anything else."""
    if len(body) < PREFIX.size:
        return None
    compressed, length = PREFIX.unpack_from(body)
    if len(body) != PREFIX.size + length:
        return None
    return reader.unpack(compressed, body[PREFIX.size :])


def frame(message: bytes, encoding: str) -> bytes:
    """A message as it is sent."""
    if encoding == "identity":
        return PREFIX.pack(0, len(message)) + message
    deflater = zlib.compressobj(wbits=WBITS[encoding])
    packed = deflater.compress(message) + deflater.flush()
    return PREFIX.pack(1, len(packed)) + packed


def agreed(wanted: str, accepted: bytes) -> str:
    """The encoding of answers: what the server wants where the caller accepts it."""
    return wanted if wanted in WBITS and wanted.encode() in accepted.replace(b" ", b"").split(b",") else "identity"


def response_headers(plain: Headers, encoding: str) -> Headers:
    """`plain` with the encoding, where there is one."""
    return plain if encoding == "identity" else [*plain, (b"grpc-encoding", encoding.encode())]


def status(code: grpc.StatusCode, details: str, metadata: Sequence[tuple[str, str]] = ()) -> Headers:
    """A status as trailers."""
    trailers = [(b"grpc-status", b"%d" % code.value[0])]
    if details:
        trailers.append((b"grpc-message", quote(details, safe=PLAIN).encode()))
    return trailers + [(name.encode(), value.encode()) for name, value in metadata]
