"""A real gRPC server made of plain functions, and one way to call both clients."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any

import grpc
import pytest
from inference import grpc_service_pb2 as pb

from services.client.aio_inference import AsyncInferenceClient
from services.client.channels import SERVICE
from services.client.inference import InferenceClient

REQUESTS = {
    "ServerLive": pb.ServerLiveRequest,
    "ServerReady": pb.ServerReadyRequest,
    "ModelReady": pb.ModelReadyRequest,
    "ModelMetadata": pb.ModelMetadataRequest,
    "ModelConfig": pb.ModelConfigRequest,
    "ModelInfer": pb.ModelInferRequest,
    "ModelStreamInfer": pb.ModelInferRequest,
    "RepositoryIndex": pb.RepositoryIndexRequest,
    "RepositoryModelLoad": pb.RepositoryModelLoadRequest,
    "RepositoryModelUnload": pb.RepositoryModelUnloadRequest,
}
MAKERS = {"ModelStreamInfer": grpc.stream_stream_rpc_method_handler}
Method = Callable[[Any, grpc.ServicerContext], Any]
Serve = Callable[..., str]
Call = Callable[..., Any]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts a server whose methods are the functions given by name; returns its `host:port`."""
    servers = []

    def start(**methods: Method) -> str:
        handlers = {
            name: MAKERS.get(name, grpc.unary_unary_rpc_method_handler)(
                method, REQUESTS[name].FromString, lambda m: m.SerializeToString()
            )
            for name, method in methods.items()
        }
        options = [("grpc.max_receive_message_length", 64 << 20), ("grpc.so_reuseport", 0)]
        server = grpc.server(futures.ThreadPoolExecutor(2), options=options)
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        servers.append(server)
        return f"127.0.0.1:{port}"

    yield start
    for server in servers:
        server.stop(0).wait()


@pytest.fixture(params=["sync", "asyncio"])
def call(request: pytest.FixtureRequest) -> Call:
    """`call(target, method, *arguments, client={...}, **keywords)` on the client of either kind."""

    def sync(target: str, method: str, *arguments: Any, client: dict[str, Any] | None = None, **keywords: Any) -> Any:
        with InferenceClient(target, **(client or {})) as one:
            return getattr(one, method)(*arguments, **keywords)

    async def awaited(target: str, method: str, arguments: Any, client: dict[str, Any], keywords: Any) -> Any:
        async with AsyncInferenceClient(target, **client) as one:
            return await getattr(one, method)(*arguments, **keywords)

    def through_asyncio(
        target: str, method: str, *arguments: Any, client: dict[str, Any] | None = None, **keywords: Any
    ) -> Any:
        return asyncio.run(awaited(target, method, arguments, client or {}, keywords))

    return sync if request.param == "sync" else through_asyncio


@pytest.fixture
def free_target() -> str:
    """A loopback address where nobody listens."""
    import socket

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{one.getsockname()[1]}"
