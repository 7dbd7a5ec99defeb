"""The Open Inference Protocol as gRPC methods: translates, and does not think."""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import TypeAlias

import grpc
from inference import grpc_service_pb2 as pb
from inference import grpc_service_pb2_grpc as pb_grpc

from core.errors import BakeoffError
from services.rpc.errors import retry_hint, status_of
from services.serving import messages
from services.serving.control import Control
from services.serving.handler import InferenceHandler
from services.serving.models import Models
from services.serving.stream import in_order
from services.serving.wire import InferWire, read_message

STREAM_WINDOW = 64
"""Requests of one stream that are worked on at the same time; the next ones wait on the wire."""
GRPC_ERROR = ("triton_grpc_error", "true")
"""Metadata of a caller who wants an error to end the stream with its status, as Triton has it."""
Context: TypeAlias = grpc.aio.ServicerContext


SERVICE = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name


class InferenceServicer(pb_grpc.GRPCInferenceServiceServicer):
    """One method for each RPC; the contract says what each does."""

    def __init__(
        self, handler: InferenceHandler, models: Models, control: Control, is_ready: Callable[[], bool]
    ) -> None:
        self._handler, self._models, self._control, self._is_ready = handler, models, control, is_ready
        self._wire = InferWire(handler)

    async def ServerLive(self, request: pb.ServerLiveRequest, context: Context) -> pb.ServerLiveResponse:  # noqa: N802
        """See the contract."""
        return pb.ServerLiveResponse(live=True)

    async def ServerReady(self, request: pb.ServerReadyRequest, context: Context) -> pb.ServerReadyResponse:  # noqa: N802
        """See the contract."""
        return pb.ServerReadyResponse(ready=self._is_ready())

    async def ModelReady(self, request: pb.ModelReadyRequest, context: Context) -> pb.ModelReadyResponse:  # noqa: N802
        """See the contract."""
        try:
            self._models.get(request.name, request.version)
        except BakeoffError:
            return pb.ModelReadyResponse(ready=False)
        return pb.ModelReadyResponse(ready=True)

    async def ServerMetadata(  # noqa: N802
        self, request: pb.ServerMetadataRequest, context: Context
    ) -> pb.ServerMetadataResponse:
        """See the contract."""
        return messages.server_metadata()

    async def ModelMetadata(  # noqa: N802
        self, request: pb.ModelMetadataRequest, context: Context
    ) -> pb.ModelMetadataResponse:
        """See the contract."""
        model = self._models.get(request.name, request.version)
        return messages.model_metadata(model, self._models.versions(request.name))

    async def ModelConfig(self, request: pb.ModelConfigRequest, context: Context) -> pb.ModelConfigResponse:  # noqa: N802
        """See the contract."""
        return pb.ModelConfigResponse(config=self._models.get(request.name, request.version).config.message)

    async def ModelStatistics(  # noqa: N802
        self, request: pb.ModelStatisticsRequest, context: Context
    ) -> pb.ModelStatisticsResponse:
        """See the contract."""
        if not request.name:
            chosen = self._models.serving()
        elif request.version:
            chosen = [self._models.get(request.name, request.version)]
        else:
            newest = self._models.get(request.name)
            chosen = [model for model in self._models.serving() if model.name == newest.name]
        return pb.ModelStatisticsResponse(model_stats=map(messages.model_statistics, chosen))

    async def RepositoryIndex(  # noqa: N802
        self, request: pb.RepositoryIndexRequest, context: Context
    ) -> pb.RepositoryIndexResponse:
        """See the contract."""
        messages.check_repository(request.repository_name)
        return messages.repository_index(await self._control.index(request.ready))

    async def RepositoryModelLoad(  # noqa: N802
        self, request: pb.RepositoryModelLoadRequest, context: Context
    ) -> pb.RepositoryModelLoadResponse:
        """See the contract."""
        messages.check_repository(request.repository_name)
        await self._control.load(request.model_name, tuple(sorted(request.parameters)))
        return pb.RepositoryModelLoadResponse()

    async def RepositoryModelUnload(  # noqa: N802
        self, request: pb.RepositoryModelUnloadRequest, context: Context
    ) -> pb.RepositoryModelUnloadResponse:
        """See the contract."""
        messages.check_repository(request.repository_name)
        await self._control.unload(request.model_name)
        return pb.RepositoryModelUnloadResponse()

    async def ModelInfer(self, request: bytes, context: Context) -> bytes:  # type: ignore[override]  # noqa: N802
        """See the contract. From bytes to bytes: `wire` says why."""
        return await self._wire.infer(request, context.time_remaining())

    async def ModelStreamInfer(  # type: ignore[override]  # noqa: N802
        self, request: AsyncIterator[bytes], context: Context
    ) -> AsyncIterator[pb.ModelStreamInferResponse]:
        """See the contract. From bytes, as ModelInfer."""
        ends = any(tuple(one) == GRPC_ERROR for one in context.invocation_metadata() or ())
        async for response in in_order(request, self._answer if ends else self._answer_or_tell, STREAM_WINDOW):
            yield response

    async def _answer(self, data: bytes) -> pb.ModelStreamInferResponse:
        """One request of a stream; its error ends the stream."""
        response = await self._wire.answer(data, None)
        # Tools that ask for several answers to a request wait for the one marked final.
        response.parameters["triton_final_response"].bool_param = True
        return pb.ModelStreamInferResponse(infer_response=response)

    async def _answer_or_tell(self, data: bytes) -> pb.ModelStreamInferResponse:
        """One request of a stream; its error goes into the answer and the stream goes on."""
        try:
            return await self._answer(data)
        except Exception as error:
            request = read_message(data)
            if request is None:
                raise  # Whose request that was cannot be told.
            code, message = status_of(error, request)
            return messages.stream_error(request.id, code.name, message, retry_hint(error))


class _Handlers:
    """Takes the methods that generated code would add to a server."""

    def __init__(self) -> None:
        self.methods: dict[str, grpc.RpcMethodHandler] = {}

    def add_generic_rpc_handlers(self, handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """The same methods in another form: nothing to do."""

    def add_registered_method_handlers(self, service: str, methods: Mapping[str, grpc.RpcMethodHandler]) -> None:
        """As a server has it."""
        self.methods.update(methods)


def add_to_server(servicer: InferenceServicer, server: grpc.aio.Server) -> None:
    """Adds the service; inference without the generated code's parsing, which `wire` does better."""
    handlers = _Handlers()
    pb_grpc.add_GRPCInferenceServiceServicer_to_server(servicer, handlers)
    handlers.methods["ModelInfer"] = grpc.unary_unary_rpc_method_handler(servicer.ModelInfer)
    handlers.methods["ModelStreamInfer"] = grpc.stream_stream_rpc_method_handler(
        servicer.ModelStreamInfer, response_serializer=pb.ModelStreamInferResponse.SerializeToString
    )
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, handlers.methods)])
