"""Real handshakes and tokens on loopback: who gets in, and what the others are told."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from inference import grpc_service_pb2 as pb
from inference import grpc_service_pb2_grpc as stubs

from core.errors import BakeoffError, DeniedError, NotReadyError, UnauthenticatedError
from services.client.aio_inference import AsyncInferenceClient
from services.client.security import Security
from services.rpc.errors import GuardedServer
from services.rpc.server import bind, interceptors
from services.rpc.settings import ServiceSettings
from services.serving.rights import RIGHTS
from tests.certificates import Authority

READER, WRITER = "r" * 24, "w" * 24


class Echo(stubs.GRPCInferenceServiceServicer):
    async def ModelInfer(self, request: pb.ModelInferRequest, context: object) -> pb.ModelInferResponse:  # noqa: N802
        return pb.ModelInferResponse(id=request.id)

    async def RepositoryModelLoad(  # noqa: N802
        self, request: pb.RepositoryModelLoadRequest, context: object
    ) -> pb.RepositoryModelLoadResponse:
        return pb.RepositoryModelLoadResponse()


def serve(settings: ServiceSettings, scenario: Callable[[str], Awaitable[None]]) -> None:
    async def main() -> None:
        server = grpc.aio.server(interceptors=interceptors(settings, RIGHTS))
        stubs.add_GRPCInferenceServiceServicer_to_server(Echo(), GuardedServer(server))
        health_pb2_grpc.add_HealthServicer_to_server(health.aio.HealthServicer(), server)
        port = bind(server, settings)
        await server.start()
        try:
            await scenario(f"127.0.0.1:{port}")
        finally:
            await server.stop(0)

    asyncio.run(asyncio.wait_for(main(), 20))


async def answers(target: str, security: Security) -> bool:
    async with AsyncInferenceClient(target, attempts=1, timeout_s=5, security=security) as client:
        return bool((await client.infer(pb.ModelInferRequest(id="7"))).id == "7")


async def refused(target: str, security: Security) -> BakeoffError:
    with pytest.raises(BakeoffError) as caught:
        await answers(target, security)
    return caught.value


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


def test_tls_lets_in_who_trusts_the_authority_and_nobody_in_the_open(authority: Authority, tmp_path: Path) -> None:
    pair, stranger = authority.issue("server"), Authority(tmp_path, "stranger")

    async def scenario(target: str) -> None:
        assert await answers(target, Security(tls_ca=str(authority.cert)))
        assert isinstance(await refused(target, Security(tls_ca=str(stranger.cert))), NotReadyError)
        assert isinstance(await refused(target, Security()), NotReadyError)
        named = Security(tls_ca=str(authority.cert), tls_server_name="server")
        assert await answers(target, named)
        other = Security(tls_ca=str(authority.cert), tls_server_name="elsewhere")
        assert isinstance(await refused(target, other), NotReadyError)

    serve(ServiceSettings(tls_cert=pair.cert, tls_key=pair.key), scenario)


def test_mtls_asks_for_a_certificate_of_its_own_authority(authority: Authority, tmp_path: Path) -> None:
    pair, mine = authority.issue("server"), authority.issue("client")
    foreign = Authority(tmp_path, "stranger").issue("client")
    trust = str(authority.cert)

    async def scenario(target: str) -> None:
        assert await answers(target, Security(tls_ca=trust, tls_cert=mine.cert, tls_key=mine.key))
        await refused(target, Security(tls_ca=trust))
        await refused(target, Security(tls_ca=trust, tls_cert=foreign.cert, tls_key=foreign.key))

    serve(ServiceSettings(tls_cert=pair.cert, tls_key=pair.key, tls_client_ca=authority.cert), scenario)


def test_a_renewed_certificate_is_shown_without_a_restart(tmp_path: Path) -> None:
    old, new = Authority(tmp_path / "a", "old"), Authority(tmp_path / "b", "new")
    pair, renewed = old.issue("server"), new.issue("server")

    async def scenario(target: str) -> None:
        assert await answers(target, Security(tls_ca=str(old.cert)))
        pair.key.write_bytes(renewed.key.read_bytes())
        # Key and certificate do not belong together now: the old pair goes on.
        assert await answers(target, Security(tls_ca=str(old.cert)))
        pair.cert.write_bytes(renewed.cert.read_bytes())
        assert await answers(target, Security(tls_ca=str(new.cert)))
        await refused(target, Security(tls_ca=str(old.cert)))

    serve(ServiceSettings(tls_cert=pair.cert, tls_key=pair.key), scenario)


def test_rights_are_kept_apart_and_probes_are_free(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    path.write_text(f"web inference {READER}\nops control {WRITER}\n")

    async def scenario(target: str) -> None:
        assert await answers(target, Security(token=READER))
        assert isinstance(await refused(target, Security(token=WRITER)), DeniedError)
        assert isinstance(await refused(target, Security(token="x" * 24)), UnauthenticatedError)
        assert isinstance(await refused(target, Security()), UnauthenticatedError)
        async with AsyncInferenceClient(target, security=Security(token=READER)) as client:
            with pytest.raises(DeniedError, match=r"'web' has no right to .*RepositoryModelLoad: it needs 'control'"):
                await client.load_model("m")
        async with AsyncInferenceClient(target, security=Security(token=WRITER)) as client:
            await client.load_model("m")
        async with grpc.aio.insecure_channel(target) as channel:
            probe = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
            assert probe.status == health_pb2.HealthCheckResponse.SERVING
            stream = stubs.GRPCInferenceServiceStub(channel).ModelStreamInfer(iter([pb.ModelInferRequest()]))
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stream.read()
            assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED

    serve(ServiceSettings(tokens=path), scenario)
