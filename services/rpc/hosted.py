"""A service inside Envoy: the ASGI application that its Python calls, and the line to the process that started it."""

import asyncio
import contextlib
import json
import logging
import os
import signal
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import prometheus_client
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from core.errors import BakeoffError
from services.rpc import logs, server
from services.rpc.asgi import GrpcApplication, Receive, Send
from services.rpc.asgi_context import Scope
from services.rpc.authorisation import Right
from services.rpc.envoy import ARGUMENTS, CONTROL
from services.rpc.errors import GuardedServer
from services.rpc.settings import ServiceSettings

log = logging.getLogger(__name__)
LOOK_S = 0.02
COUNTER = "http.ingress_http.adaptive_concurrency.gradient_controller.rq_blocked"
"""Envoy's name for the calls that `services.rpc.envoy.InFlight` refused."""
ADMIN_TIMEOUT_S = 2.0
Make = Callable[[list[str]], tuple[ServiceSettings, server.Application]]


class Refused(Collector):
    """Calls that Envoy refused by itself, read from it when somebody scrapes."""

    def __init__(self, admin: str) -> None:
        self._url = f"http://{admin}/stats?format=json&filter={COUNTER}"

    def describe(self) -> list[Metric]:
        """Nothing: the registry asks for it to find names that occur twice, and would ask Envoy for that."""
        return []

    def collect(self) -> Iterator[Metric]:
        """One counter; none where Envoy does not answer."""
        with contextlib.suppress(OSError), urllib.request.urlopen(self._url, timeout=ADMIN_TIMEOUT_S) as answer:
            stats = json.load(answer)["stats"]
            text = "Calls refused before the service heard of them: --max-in-flight were being answered"
            yield CounterMetricFamily("bakeoff_envoy_refused_calls", text, sum(stat["value"] for stat in stats))


class HostedService:
    """The ASGI application of one service.

    Args:
        make: settings and application from the command line; called once, in the event loop.
        rights: as `services.rpc.server.run` has them.
    """

    def __init__(self, make: Make, rights: Mapping[str, Right] = server.NO_RIGHTS) -> None:
        self._make, self._rights = make, rights
        self._open = contextlib.ExitStack()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A call, or the service's own start and end."""
        if scope["type"] == "http":
            await self._grpc(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        self._reader, self._writer = await asyncio.open_unix_connection(os.environ[CONTROL])
        try:
            await self._start()
        except BakeoffError as error:
            self._tell("failed", message=str(error))
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        for task in self._tasks:
            task.cancel()
        await self._application.stop()
        self._open.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def _start(self) -> None:
        self._settings, self._application = self._make(json.loads(os.environ[ARGUMENTS]))
        logs.set_up(self._settings.log_level, self._settings.log_format)
        self._grpc = GrpcApplication(
            self._settings.max_message_bytes,
            self._settings.compression,
            server.authoriser(self._settings, self._rights),
            self._application.refusal if isinstance(self._application, server.SheddingApplication) else None,
        )
        guarded, self._healthy = GuardedServer(self._grpc), health.aio.HealthServicer()
        self._names = list(self._application.register(guarded))
        health_pb2_grpc.add_HealthServicer_to_server(self._healthy, guarded)
        names = [*self._names, health.SERVICE_NAME, reflection.SERVICE_NAME]
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server(reflection.aio.ReflectionServicer(names), guarded)
        self._open.enter_context(server.metrics(self._settings))
        await self._application.start()
        await self._say(health_pb2.HealthCheckResponse.NOT_SERVING)
        for work in (self._warm(), self._obey()):
            task = asyncio.ensure_future(work)
            self._tasks.add(task)

    async def _warm(self) -> None:
        """Says SERVING once the service is ready."""
        try:
            if isinstance(self._application, server.WarmingApplication):
                await self._application.ready()
        except BakeoffError as error:
            self._tell("failed", message=str(error))
            return
        await self._say(health_pb2.HealthCheckResponse.SERVING)
        self._tell("ready")

    async def _obey(self) -> None:
        """Follows orders: `admin HOST:PORT` says where Envoy's counters are, `drain`. Ends when nobody is left to give
        them."""
        while (order := (await self._reader.readline()).decode().strip()) != "drain":
            if not order:
                log.error("the process that started Envoy is gone: ending")
                os.kill(os.getpid(), signal.SIGTERM)
                return
            prometheus_client.REGISTRY.register(Refused(order.removeprefix("admin ")))
        await self._healthy.enter_graceful_shutdown()
        await self._application.drain()
        last = time.monotonic() + self._settings.drain_s
        # Those who watch health stay until the end.
        while self._grpc.working and time.monotonic() < last:
            await asyncio.sleep(LOOK_S)
        self._tell("drained")

    async def _say(self, status: int) -> None:
        for name in ("", *self._names):
            await self._healthy.set(name, status)

    def _tell(self, event: str, **more: Any) -> None:
        self._writer.write(json.dumps({"event": event, **more}).encode() + b"\n")
