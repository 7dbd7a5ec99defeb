"""Tensors on the wire to NumPy arrays and back: the only place that knows the protocol's encodings."""

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from inference import grpc_service_pb2 as pb
from numpy.typing import NDArray

from core.errors import InvalidInputError
from services.serving.requests import Tensor

MOST_DIMENSIONS, MOST_ELEMENTS = 8, 1 << 31
"""Of an input: more than any model here takes and any message holds. NumPy cannot count much further."""


@dataclass(frozen=True)
class Encoding:
    """How one datatype travels: little endian as raw bytes, or as elements of a field of InferTensorContents."""

    dtype: np.dtype[Any]
    field: str
    """Empty where the protocol has no typed field."""


ENCODINGS: dict[str, Encoding] = {
    "BOOL": Encoding(np.dtype("bool"), "bool_contents"),
    "UINT8": Encoding(np.dtype("u1"), "uint_contents"),
    "UINT16": Encoding(np.dtype("<u2"), "uint_contents"),
    "UINT32": Encoding(np.dtype("<u4"), "uint_contents"),
    "UINT64": Encoding(np.dtype("<u8"), "uint64_contents"),
    "INT8": Encoding(np.dtype("i1"), "int_contents"),
    "INT16": Encoding(np.dtype("<i2"), "int_contents"),
    "INT32": Encoding(np.dtype("<i4"), "int_contents"),
    "INT64": Encoding(np.dtype("<i8"), "int64_contents"),
    "FP16": Encoding(np.dtype("<f2"), ""),
    # NumPy has no bfloat16: its 16 bits as they are.
    "BF16": Encoding(np.dtype("<u2"), ""),
    "FP32": Encoding(np.dtype("<f4"), "fp32_contents"),
    "FP64": Encoding(np.dtype("<f8"), "fp64_contents"),
    "BYTES": Encoding(np.dtype(object), "bytes_contents"),
}


def read_inputs(request: pb.ModelInferRequest) -> tuple[Tensor, ...]:
    """The input tensors of a request. Raw data is not copied again: arrays are read-only views of the message's bytes.

    Raises:
        InvalidInputError: unknown datatype, or data that does not fit datatype and shape.
    """
    raw = request.raw_input_contents
    inputs = request.inputs
    if not raw:
        return tuple(_read_typed(given) for given in inputs)
    if len(raw) != len(inputs):
        raise InvalidInputError(
            f"raw_input_contents has {len(raw)} entries for {len(inputs)} inputs; send one for each input, in order"
        )
    return tuple(_read_raw(given, data) for given, data in zip(inputs, raw, strict=True))


def write_raw(tensor: Tensor) -> bytes:
    """A tensor's data as raw_output_contents."""
    if tensor.datatype == "BYTES":
        return b"".join(struct.pack("<I", len(item)) + item for item in tensor.array.ravel())
    return tensor.array.tobytes()


def write_typed(tensor: Tensor, contents: pb.InferTensorContents) -> None:
    """Puts a tensor's data into the field of `contents` that belongs to its datatype."""
    getattr(contents, ENCODINGS[tensor.datatype].field).extend(tensor.array.ravel().tolist())


def _read_raw(given: pb.ModelInferRequest.InferInputTensor, data: bytes) -> Tensor:
    encoding, shape = _encoding(given), tuple(given.shape)
    count = _count(given.name, shape)
    if given.HasField("contents"):
        raise InvalidInputError(f"input {given.name!r} has both contents and raw_input_contents; send one of them")
    if given.datatype == "BYTES":
        return Tensor(given.name, "BYTES", _objects(given.name, list(_split_bytes(given.name, data)), shape))
    expected = count * encoding.dtype.itemsize
    if len(data) != expected:
        raise InvalidInputError(
            f"input {given.name!r} has {len(data)} bytes, expected {expected} for {given.datatype} {list(shape)}; "
            "send every element, in row-major order"
        )
    return Tensor(given.name, given.datatype, np.frombuffer(data, encoding.dtype).reshape(shape))


def _read_typed(given: pb.ModelInferRequest.InferInputTensor) -> Tensor:
    encoding, shape, contents = _encoding(given), tuple(given.shape), given.contents
    count = _count(given.name, shape)
    if not encoding.field:
        raise InvalidInputError(
            f"input {given.name!r} is {given.datatype}, which has no typed contents; send raw_input_contents"
        )
    for field, _ in contents.ListFields():
        if field.name != encoding.field:
            raise InvalidInputError(
                f"input {given.name!r} is {given.datatype} but its data is in {field.name}; send {encoding.field}"
            )
    values = getattr(contents, encoding.field)
    if len(values) != count:
        raise InvalidInputError(
            f"input {given.name!r} has {len(values)} elements in {encoding.field}, expected {count} for "
            f"{given.datatype} {list(shape)}"
        )
    if given.datatype == "BYTES":
        return Tensor(given.name, "BYTES", _objects(given.name, list(values), shape))
    return Tensor(given.name, given.datatype, _narrow(given, values, encoding.dtype).reshape(shape))


def _narrow(given: pb.ModelInferRequest.InferInputTensor, values: Any, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Typed elements as the datatype; the wire's type may be wider, so values out of range are possible."""
    if dtype.kind not in "iu" or not values:
        return np.array(values, dtype)
    low, high, limits = min(values), max(values), np.iinfo(dtype)
    if low < limits.min or high > limits.max:
        wrong = low if low < limits.min else high
        raise InvalidInputError(
            f"input {given.name!r} holds {wrong}, expected {limits.min} to {limits.max} for {given.datatype}"
        )
    return np.array(values, dtype)


def _encoding(given: pb.ModelInferRequest.InferInputTensor) -> Encoding:
    encoding = ENCODINGS.get(given.datatype)
    if encoding is None:
        raise InvalidInputError(
            f"input {given.name!r} has unknown datatype {given.datatype!r}; known: {', '.join(ENCODINGS)}"
        )
    return encoding


def _count(name: str, shape: tuple[int, ...]) -> int:
    if any(size < 0 for size in shape):
        raise InvalidInputError(f"input {name!r} has shape {list(shape)}; sizes sent must not be negative")
    if len(shape) > MOST_DIMENSIONS or math.prod(max(1, size) for size in shape) > MOST_ELEMENTS:
        raise InvalidInputError(
            f"input {name!r} has {len(shape)} dimensions, the largest {max(shape)}; expected at most "
            f"{MOST_DIMENSIONS}, with at most {MOST_ELEMENTS} elements"
        )
    return math.prod(shape)


def _split_bytes(name: str, data: bytes) -> Iterator[bytes]:
    """Elements of a raw BYTES tensor: each preceded by its length as four bytes, little endian."""
    position = 0
    while position < len(data):
        start = position + 4
        length = int.from_bytes(data[position:start], "little")
        position = start + length
        if position > len(data):
            raise InvalidInputError(f"input {name!r} is cut off: an element of {length} bytes ends after its data")
        yield data[start:position]


def _objects(name: str, items: list[bytes], shape: tuple[int, ...]) -> NDArray[Any]:
    if len(items) != math.prod(shape):
        raise InvalidInputError(f"input {name!r} has {len(items)} elements, expected {math.prod(shape)}")
    array = np.empty(len(items), object)
    array[:] = items
    return array.reshape(shape)
