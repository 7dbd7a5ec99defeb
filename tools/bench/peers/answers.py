"""What perf_analyzer asks of a server before it sends load, for servers of the protocol that lack these calls.

Runs inside the peer's own environment, so it uses neither our code nor our messages.
"""

from pathlib import Path

import grpc

SERVICE = "/inference.GRPCInferenceService/"


class Answers(grpc.GenericRpcHandler):
    """ModelConfig from a file, ModelStatistics from a count."""

    def __init__(self, model: str, config: Path) -> None:
        self._model, self._config = model, config.read_bytes()
        self.images = 0
        """Images inferred so far."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        """Handlers of the two calls, from bytes to bytes."""
        answer = {"ModelConfig": self._answer_config, "ModelStatistics": self._answer_statistics}.get(
            handler_call_details.method.removeprefix(SERVICE)
        )
        return grpc.unary_unary_rpc_method_handler(answer) if answer else None

    async def _answer_config(self, request: bytes, context: grpc.aio.ServicerContext) -> bytes:
        return self._config

    async def _answer_statistics(self, request: bytes, context: grpc.aio.ServicerContext) -> bytes:
        """name 1, version 2, inference_count 4, execution_count 5, inference_stats 6 with success 1 {count 1, ns 2}."""
        success = _number(1, self.images) + _number(2, 1000 * self.images)
        one = _text(1, self._model.encode()) + _text(2, b"1") + _number(4, self.images) + _number(5, self.images)
        return _text(1, one + _text(6, _text(1, success)))

    def install(self) -> None:
        """Adds these calls to every grpc.aio server made from here on."""
        make = grpc.aio.server

        def server(*arguments: object, **options: object) -> grpc.aio.Server:
            made = make(*arguments, **options)
            made.add_generic_rpc_handlers((self,))
            return made

        grpc.aio.server = server


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _text(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value
