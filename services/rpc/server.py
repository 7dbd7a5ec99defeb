"""Life of a gRPC server: start, health, reflection, metrics, signal, drain, stop."""

import asyncio
import contextlib
import logging
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Protocol, runtime_checkable

import grpc
import prometheus_client
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from core import files, memory
from core.errors import BakeoffError
from services.rpc import logs
from services.rpc.authorisation import AuthorisationInterceptor, Authoriser, Right
from services.rpc.errors import GuardedServer, refusal
from services.rpc.settings import ServiceSettings, joined

log = logging.getLogger(__name__)
MEMORY_LIMIT = prometheus_client.Gauge("bakeoff_memory_limit_bytes", "Memory limit of the container; 0: none")
SERVING = health_pb2.HealthCheckResponse.SERVING
COMPRESSION = {
    "none": grpc.Compression.NoCompression,
    "deflate": grpc.Compression.Deflate,
    "gzip": grpc.Compression.Gzip,
}
PENDING = 10_000
"""Calls that may wait in gRPC for Python to take them. Beyond 1,000, gRPC's own default, it cancels some at random."""
NO_RIGHTS: Mapping[str, Right] = MappingProxyType({})
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class Application(Protocol):
    """What a service gives the server."""

    def register(self, server: grpc.aio.Server) -> Sequence[str]:
        """Adds its servicers and returns their full names. `server` takes handlers as a grpc.aio.Server does."""

    async def start(self) -> None:
        """Begins background work; called before the port opens."""

    async def drain(self) -> None:
        """Called after health says NOT_SERVING, before calls in flight get their grace."""

    async def stop(self) -> None:
        """Releases everything; called last."""


@runtime_checkable
class WarmingApplication(Application, Protocol):
    """A service that answers before it is ready: health stays NOT_SERVING until `ready` returns."""

    async def ready(self) -> None:
        """Returns once the service may say SERVING; an error ends the process."""


@runtime_checkable
class SheddingApplication(Application, Protocol):
    """A service that knows of some calls that they will be refused before they are read."""

    def refusal(self, method: str) -> BakeoffError | None:
        """Why a call of a method (`/package.Service/Method`) is refused, whatever it says; None: it must be read."""


def channel_options(max_message_bytes: int) -> list[tuple[str, int]]:
    """Options both sides need: gRPC's own limit is 4 MiB, and a port must not be shared by mistake."""
    return [
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.max_send_message_length", max_message_bytes),
        ("grpc.so_reuseport", 0),
    ]


def server_options(settings: ServiceSettings) -> list[tuple[str, int]]:
    """gRPC's arguments for what the settings say about messages and connections."""
    options = channel_options(settings.max_message_bytes)
    # Its cancelling tells a caller nothing. Whatever Python can take is refused there, with a reason and a retry hint.
    options += [
        ("grpc.server.max_pending_requests", PENDING),
        ("grpc.server.max_pending_requests_hard_limit", PENDING),
    ]
    if settings.keepalive_s is not None:
        every_ms = int(1000 * settings.keepalive_s)
        options += [
            ("grpc.keepalive_time_ms", every_ms),
            ("grpc.keepalive_permit_without_calls", 1),
            # Clients that probe as often are no nuisance, though a ping of theirs comes a little early.
            ("grpc.http2.min_ping_interval_without_data_ms", every_ms // 2),
        ]
    if settings.max_connection_age_s is not None:
        options += [
            ("grpc.max_connection_age_ms", int(1000 * settings.max_connection_age_s)),
            ("grpc.max_connection_age_grace_ms", int(1000 * settings.drain_s)),
        ]
    return options


def run(
    settings: ServiceSettings, application: Application, name: str, rights: Mapping[str, Right] = NO_RIGHTS
) -> None:
    """Serves until SIGTERM or SIGINT, then drains. Ends the process with 1 when the port cannot be had.

    Args:
        rights: full method to the right it needs, where tokens are asked for; the others need control.
    """
    logs.set_up(settings.log_level, settings.log_format)
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(serve(settings, application, name, rights))
    except BakeoffError as error:
        log.error("%s cannot start: %s", name, error)
        raise SystemExit(1) from error


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's event loop where it is installed: per request it costs less CPU than asyncio's own."""
    try:
        import uvloop
    except ModuleNotFoundError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


async def serve(
    settings: ServiceSettings, application: Application, name: str, rights: Mapping[str, Right] = NO_RIGHTS
) -> None:
    """Starts, waits for a signal, drains and stops."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    server = grpc.aio.server(
        options=server_options(settings),
        compression=COMPRESSION[settings.compression],
        interceptors=interceptors(settings, rights),
    )
    guarded = GuardedServer(server)
    healthy = health.aio.HealthServicer()
    names = list(application.register(guarded))
    health_pb2_grpc.add_HealthServicer_to_server(healthy, guarded)
    reflection.enable_server_reflection([*names, health.SERVICE_NAME, reflection.SERVICE_NAME], server)
    port = bind(server, settings)
    with metrics(settings):
        await application.start()
        for service in ("", *names):
            await healthy.set(service, NOT_SERVING)
        # Alive, though perhaps not ready yet: what a liveness probe asks for.
        await healthy.set(health.SERVICE_NAME, SERVING)
        await server.start()
        log.info("%s serves on %s, %s", name, joined(settings.host, port), settings.protection)
        if settings.address_file:
            files.write_text(settings.address_file, f"{joined(settings.host, port)}\n")
        try:
            if await _ready(application, stopping):
                for service in ("", *names):
                    await healthy.set(service, SERVING)
            await stopping.wait()
            log.info("%s drains", name)
            await healthy.enter_graceful_shutdown()
            await application.drain()
        finally:
            await server.stop(settings.drain_s)
            await application.stop()


async def _ready(application: Application, stopping: asyncio.Event) -> bool:
    """Waits until a warming application is ready; False when the signal to stop came first."""
    if not isinstance(application, WarmingApplication):
        return True
    ready, stop = asyncio.ensure_future(application.ready()), asyncio.ensure_future(stopping.wait())
    await asyncio.wait({ready, stop}, return_when=asyncio.FIRST_COMPLETED)
    stop.cancel()
    if not ready.done():
        ready.cancel()
        return False
    ready.result()
    return True


def interceptors(settings: ServiceSettings, rights: Mapping[str, Right]) -> list[grpc.aio.ServerInterceptor]:
    """The check of tokens, where the settings ask for one: without it no call pays for it."""
    found = authoriser(settings, rights)
    return [AuthorisationInterceptor(found, refusal)] if found else []


def authoriser(settings: ServiceSettings, rights: Mapping[str, Right]) -> Authoriser | None:
    """Who decides about calls; None where no token is asked for."""
    tokens = settings.read_tokens()
    return Authoriser(tokens, rights) if tokens else None


def bind(server: grpc.aio.Server, settings: ServiceSettings) -> int:
    """Opens the port and returns its number. Raises BakeoffError when it cannot be had."""
    address, tls = joined(settings.host, settings.port), settings.tls
    try:
        return int(
            server.add_insecure_port(address) if tls is None else server.add_secure_port(address, tls.credentials())
        )
    except RuntimeError as error:
        raise BakeoffError(f"{address} cannot be used ({error}); choose another --port") from error


@contextlib.contextmanager
def metrics(settings: ServiceSettings) -> Iterator[None]:
    """Serves Prometheus metrics while the block runs, where a port is set."""
    if settings.metrics_port is None:
        yield
        return
    try:
        server, thread = prometheus_client.start_http_server(settings.metrics_port, settings.host)
    except OSError as error:
        where = joined(settings.host, settings.metrics_port)
        raise BakeoffError(f"{where} cannot be used ({error.strerror}); choose another --metrics-port") from error
    log.info("metrics on http://%s/metrics", joined(settings.host, server.server_port))
    # 0 where there is no limit, which alerts leave out.
    MEMORY_LIMIT.set(memory.limit_bytes() or 0)
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
