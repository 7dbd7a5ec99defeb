"""ModelInfer, alone or in a stream, from the bytes of a request to its answer: what every transport calls.

Reading a request field by field costs more than computing a small model. Clients send the same request again and again
with other pixels and another id, so what a request says apart from these two is read once and remembered. The pixels
are never copied on the way in: the array is a view of the bytes received.
"""

import contextlib
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from inference import grpc_service_pb2 as pb

from core.errors import InvalidInputError
from services.rpc import logs
from services.serving import messages
from services.serving.handler import InferenceHandler
from services.serving.requests import InferRequest, OutputRequest, Tensor

MODEL_NAME, MODEL_VERSION, ID = 0x0A, 0x12, 0x1A
"""Tags of the fields that precede the rest of a ModelInferRequest: field number × 8 + 2, with a length."""
ONE_BYTE = 0x80
"""Lengths below this take one byte on the wire."""
REMEMBERED = 256
"""Most kinds of requests remembered; then all are forgotten, which costs one reading each."""


LONGEST = 1024
"""Most bytes of a kind: a few inputs and outputs by name."""
INVERTED = bytes(255 - value for value in range(256))


@dataclass(frozen=True, slots=True)
class _Kind:
    """What requests of one kind have in common."""

    model: str
    version: str
    outputs: tuple[OutputRequest, ...]
    tensor: str
    datatype: str
    dtype: "np.dtype[Any]"
    shape: tuple[int, ...]
    count: int


class InferWire:
    """Answers requests as they come over the wire."""

    def __init__(self, handler: InferenceHandler) -> None:
        self._handler = handler
        self._kinds: dict[bytes, _Kind] = {}
        self._sizes: dict[int, int] = {}
        """Size of a request without its id to the size of its raw data."""

    async def infer(self, data: bytes, remaining_s: float | None) -> bytes:
        """One request; the answer as it goes over the wire. See `answer`."""
        return (await self.answer(data, remaining_s)).SerializeToString()

    async def answer(self, data: bytes, remaining_s: float | None) -> pb.ModelInferResponse:
        """One request.

        Args:
            data: a serialised ModelInferRequest.
            remaining_s: seconds the caller still waits; None when it set no deadline.

        Raises:
            InvalidInputError: not a request, or one that does not fit its model; otherwise as InferenceHandler.infer.
        """
        try:
            return messages.infer_response(await self._handler.infer(self._counted(data, remaining_s)))
        except Exception as error:
            logs.attach(error, lambda: read_message(data))
            raise

    def _counted(self, data: bytes, remaining_s: float | None) -> InferRequest:
        """The request in `data`; one that cannot be read is counted as a failed one. Raises InvalidInputError."""
        arrived_ns = time.monotonic_ns()
        try:
            return self.read(data, arrived_ns, remaining_s)
        except InvalidInputError as error:
            message = read_message(data) or pb.ModelInferRequest()
            self._handler.unread(message.model_name, message.model_version, error, arrived_ns)
            raise

    def read(self, data: bytes, arrived_ns: int, remaining_s: float | None) -> InferRequest:
        """The request in `data`. Raises InvalidInputError."""
        start, end = _id_span(data)
        size = self._sizes.get(len(data) - (end - start))
        if size is not None:
            kind = self._kinds.get(data[:start] + data[end : len(data) - size])
            if kind is not None:
                with contextlib.suppress(UnicodeDecodeError):
                    return _request(kind, str(data[start + 2 : end], "utf-8"), data, size, arrived_ns, remaining_s)
        try:
            message = pb.ModelInferRequest.FromString(data)
        except DecodeError as error:
            raise InvalidInputError(f"{len(data)} bytes are not a ModelInferRequest: {error}") from error
        request = messages.infer_request(message, arrived_ns, remaining_s)
        if len(message.raw_input_contents) == 1 and "timeout" not in message.parameters:
            self._remember(request, message.raw_input_contents[0], data[:start] + data[end:])
        return request

    def _remember(self, request: InferRequest, raw: bytes, rest: bytes) -> None:
        """Keeps what requests of a kind share, where id and raw data can be told from the bytes alone.

        Args:
            rest: the request's bytes without the id where it usually is.
        """
        tensor = request.inputs[0]
        if not raw or tensor.datatype == "BYTES":
            return
        # The proof: other bytes at the end are read as other raw data, and there is no second id.
        key, other = rest[: -len(raw)], raw.translate(INVERTED)
        if len(key) > LONGEST:
            return
        probe = pb.ModelInferRequest()
        with contextlib.suppress(DecodeError):
            probe.ParseFromString(key + other)
        if probe.id or list(probe.raw_input_contents) != [other]:
            return
        if len(self._kinds) >= REMEMBERED:
            self._kinds.clear()
            self._sizes.clear()
        array = tensor.array
        self._sizes[len(rest)] = len(raw)
        self._kinds[key] = _Kind(
            request.model,
            request.version,
            request.outputs,
            tensor.name,
            tensor.datatype,
            array.dtype,
            array.shape,
            array.size,
        )


def _request(kind: _Kind, id_: str, data: bytes, size: int, arrived_ns: int, remaining_s: float | None) -> InferRequest:
    """A request of a known kind."""
    array = np.frombuffer(data, kind.dtype, kind.count, len(data) - size).reshape(kind.shape)
    return InferRequest(
        kind.model,
        kind.version,
        id_,
        (Tensor(kind.tensor, kind.datatype, array),),
        kind.outputs,
        arrived_ns,
        None if remaining_s is None else time.monotonic_ns() + int(remaining_s * 1e9),
    )


def read_message(data: bytes) -> pb.ModelInferRequest | None:
    """The whole request, field by field; None for bytes that are none."""
    with contextlib.suppress(DecodeError):
        return pb.ModelInferRequest.FromString(data)
    return None


def _id_span(data: bytes) -> tuple[int, int]:
    """Where the id field lies, from its tag to its end; an empty span where it is not in its usual place."""
    position = 0
    for tag in (MODEL_NAME, MODEL_VERSION):
        if len(data) > position + 1 and data[position] == tag and data[position + 1] < ONE_BYTE:
            position += 2 + data[position + 1]
    if len(data) > position + 1 and data[position] == ID and data[position + 1] < ONE_BYTE:
        return position, min(position + 2 + data[position + 1], len(data))
    return position, position
