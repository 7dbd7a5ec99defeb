"""What may be loaded from a repository that others write.

Only ONNX made of standard operators and complete in one file: SavedModel, `.keras` and `.pt2` can run code when they
are loaded, and ONNX can point to files outside the repository. The ONNX file is read with a cut-down schema, so that
this needs no other library than protobuf.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError, Message

from core.errors import InvalidInputError, WrongStateError

FieldType = descriptor_pb2.FieldDescriptorProto
TYPES = {"string": FieldType.TYPE_STRING, "int32": FieldType.TYPE_INT32}
STANDARD_DOMAINS = {"", "ai.onnx", "ai.onnx.ml"}
EXTERNAL = 1
"""TensorProto.DataLocation.EXTERNAL of onnx.proto."""

# Message to field to (number, repeated, type); from onnx.proto of ONNX IR version 11.
SCHEMA: dict[str, dict[str, tuple[int, bool, str]]] = {
    "ModelProto": {"graph": (7, False, "GraphProto"), "functions": (25, True, "FunctionProto")},
    "GraphProto": {
        "node": (1, True, "NodeProto"),
        "initializer": (5, True, "TensorProto"),
        "sparse_initializer": (15, True, "SparseTensorProto"),
    },
    "FunctionProto": {
        "name": (1, False, "string"),
        "node": (7, True, "NodeProto"),
        "domain": (10, False, "string"),
    },
    "NodeProto": {
        "op_type": (4, False, "string"),
        "attribute": (5, True, "AttributeProto"),
        "domain": (7, False, "string"),
    },
    "AttributeProto": {
        "t": (5, False, "TensorProto"),
        "g": (6, False, "GraphProto"),
        "tensors": (10, True, "TensorProto"),
        "graphs": (11, True, "GraphProto"),
        "sparse_tensor": (22, False, "SparseTensorProto"),
        "sparse_tensors": (23, True, "SparseTensorProto"),
    },
    "SparseTensorProto": {"values": (1, False, "TensorProto"), "indices": (2, False, "TensorProto")},
    "TensorProto": {"name": (8, False, "string"), "data_location": (14, False, "int32")},
}


def check_format(format_name: str, path: Path) -> None:
    """Refuses formats that only a trusted repository may hold. Raises WrongStateError."""
    if format_name != "onnx":
        raise _refusal(path, f"loading {format_name} can run code")


def check_onnx(path: Path, data: bytes) -> None:
    """Refuses what only an ONNX file of a trusted repository may hold.

    Args:
        path: where the file lies, for messages.
        data: what it holds. Load these bytes: the file may be another by then.

    Raises:
        WrongStateError: an operator or external data needs --trust-repository.
        InvalidInputError: not an ONNX file.
    """
    try:
        model: Any = message_factory.GetMessageClass(_model_descriptor()).FromString(data)
    except DecodeError as error:
        raise InvalidInputError(f"{path} is not an ONNX file: {error}; export the model again") from error
    functions = {(function.domain, function.name) for function in model.functions}
    for node in _below(model, "NodeProto"):
        if node.domain not in STANDARD_DOMAINS and (node.domain, node.op_type) not in functions:
            raise _refusal(path, f"operator {node.domain}.{node.op_type} is not a standard one")
    for tensor in _below(model, "TensorProto"):
        if tensor.data_location == EXTERNAL:
            raise _refusal(path, f"tensor {tensor.name!r} lies in another file")


def _refusal(path: Path, why: str) -> WrongStateError:
    return WrongStateError(
        f"{path} is refused: {why}; start the server with --trust-repository if everybody who writes there may run code"
    )


def _below(message: Any, kind: str) -> Iterator[Any]:
    """All messages of a kind inside `message`."""
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        for child in (value,) if isinstance(value, Message) else value:
            if field.message_type.name == kind:
                yield child
            yield from _below(child, kind)


def _model_descriptor() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="onnx_subset.proto", package="onnx_subset", syntax="proto2")
    for name, fields in SCHEMA.items():
        message = file.message_type.add(name=name)
        for field, (number, repeated, kind) in fields.items():
            label = FieldType.LABEL_REPEATED if repeated else FieldType.LABEL_OPTIONAL
            added = message.field.add(
                name=field, number=number, label=label, type=TYPES.get(kind, FieldType.TYPE_MESSAGE)
            )
            if kind in SCHEMA:
                added.type_name = f".onnx_subset.{kind}"
    # A pool of its own: the onnx package may be in the same process.
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return pool.FindMessageTypeByName("onnx_subset.ModelProto")
