"""Envoy as a service's transport: its process, its configuration, and the signals between.

Envoy takes the connections and speaks HTTP/2; `pyvoy` runs Python inside it, where `services.rpc.hosted` answers calls.
The process here starts it, passes SIGTERM on as a drain, and ends with it. It imports little, because Envoy's Python
begins after it, and imports all of the service.
"""

import asyncio
import json
import logging
import signal
import socket
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from core import files
from core.errors import BakeoffError, MissingExtraError
from services.rpc import logs
from services.rpc.errors import PUSHBACK
from services.rpc.settings import ServiceSettings, joined
from services.rpc.tls import ServerTls

log = logging.getLogger(__name__)
CONTROL = "BAKEOFF_ENVOY_CONTROL"
"""Environment variable: path of the socket to the process that started Envoy."""
ARGUMENTS = "BAKEOFF_ENVOY_ARGUMENTS"
"""Environment variable: that process's command line, as JSON."""
UNLIMITED = 2**31 - 1
LIMITER = "envoy.filters.http.adaptive_concurrency"
PUSHBACK_MS = 100
"""When those who were refused may try again: Envoy cannot reckon it, and it is short beside what clients wait."""
STOP_S = 10.0
"""Seconds Envoy gets to end by itself."""
PROBE_TIMEOUT_S = 20
"""Seconds a probed client gets to answer, as gRPC has it by default (GRPC_ARG_KEEPALIVE_TIMEOUT_MS)."""


@dataclass(frozen=True)
class InFlight:
    """How many calls of one method are let in at a time.

    Envoy refuses more by itself, which costs a fraction of what handing them to Python does.
    """

    method: str
    """/package.Service/Method"""
    calls: int
    advice: str
    """What a refused caller is told."""


def run(settings: ServiceSettings, app: str, name: str, limit: InFlight) -> None:
    """Serves `app` (module:attribute of a HostedService) until SIGTERM or SIGINT, then drains.

    Ends the process with 1 when the port cannot be had, the service cannot start, or Envoy ends by itself. Envoy is not
    started again: models, queues and health live in it, so what starts again is the whole service, by whoever runs it.
    """
    logs.set_up(settings.log_level, settings.log_format)
    try:
        asyncio.run(_serve(settings, app, name, limit))
    except EnvoyEndedError as error:
        log.error("%s ends: %s", name, error)
        raise SystemExit(1) from error
    except BakeoffError as error:
        log.error("%s cannot start: %s", name, error)
        raise SystemExit(1) from error


class EnvoyEndedError(BakeoffError):
    """Envoy is gone, and nobody asked it to go."""


class _Control:
    """The line to the service inside Envoy."""

    def __init__(self) -> None:
        self.there, self.ready, self.drained = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.failed: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._writer: asyncio.StreamWriter | None = None

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Follows what the service tells."""
        self._writer = writer
        self.there.set()
        while line := await reader.readline():
            told = json.loads(line)
            if told["event"] == "failed" and not self.failed.done():
                self.failed.set_result(told["message"])
            elif told["event"] == "ready":
                self.ready.set()
            elif told["event"] == "drained":
                self.drained.set()
        writer.close()

    def tell(self, order: str) -> None:
        """Gives the service an order; see HostedService."""
        if self._writer is not None:
            self._writer.write(f"{order}\n".encode())


async def _serve(settings: ServiceSettings, app: str, name: str, limit: InFlight) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    _check_address(settings)
    control = _Control()
    with tempfile.TemporaryDirectory(prefix="bakeoff-envoy-") as folder:
        path = Path(folder) / "control"
        async with await asyncio.start_unix_server(control.connected, path):
            envoy = _envoy(settings, app, limit, {CONTROL: str(path), ARGUMENTS: json.dumps(sys.argv[1:])})
            try:
                await _start(envoy, control)
                where = joined(settings.host, envoy.listener_port)
                # Envoy listens, so the service in it has started, and has connected first of all.
                await control.there.wait()
                control.tell(f"admin {envoy._admin_address}")  # pyvoy has no public name for it.
                log.info("%s serves on %s through Envoy, %s", name, where, settings.protection)
                if settings.address_file:
                    files.write_text(settings.address_file, f"{where}\n")
                await _until_told(envoy, control, stopping)
                log.info("%s drains", name)
                control.tell("drain")
                await _until_drained(envoy, control, 2 * settings.drain_s + 1)
            finally:
                await envoy.stop()


async def _start(envoy: Any, control: _Control) -> None:
    try:
        await envoy.start()
    except RuntimeError as error:
        reason = control.failed.result() if control.failed.done() else f"{error} Its log above says why."
        raise BakeoffError(reason) from error


async def _until_told(envoy: Any, control: _Control, stopping: asyncio.Event) -> None:
    """Returns at the signal to stop. Raises BakeoffError when the service failed or Envoy ended."""
    stop, ended = asyncio.ensure_future(stopping.wait()), asyncio.ensure_future(envoy.wait())
    await asyncio.wait({stop, ended, control.failed}, return_when=asyncio.FIRST_COMPLETED)
    stop.cancel()
    if control.failed.done():
        raise BakeoffError(control.failed.result())
    if ended.done():
        raise _ended(ended.result())
    ended.cancel()


async def _until_drained(envoy: Any, control: _Control, seconds: float) -> None:
    """Returns when the service has drained or the time is over. Raises EnvoyEndedError when Envoy ended before."""
    drained, ended = asyncio.ensure_future(control.drained.wait()), asyncio.ensure_future(envoy.wait())
    await asyncio.wait({drained, ended}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    drained.cancel()
    if ended.done() and not control.drained.is_set():
        raise _ended(ended.result())
    ended.cancel()


def _ended(status: int) -> EnvoyEndedError:
    how = f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
    return EnvoyEndedError(f"Envoy {how}; if it gave a reason, that is in the log above. Start the service again")


def _check_address(settings: ServiceSettings) -> None:
    """Envoy's own message about a taken port names neither the port nor a way out."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((settings.host, settings.port))
    except OSError as error:
        where = joined(settings.host, settings.port)
        raise BakeoffError(f"{where} cannot be used ({error.strerror}); choose another --port") from error


def _envoy(settings: ServiceSettings, app: str, limit: InFlight, environment: dict[str, str]) -> Any:
    try:
        import pyvoy
    except ModuleNotFoundError as error:
        raise MissingExtraError("Envoy (pyvoy)", "envoy") from error

    class Configured(pyvoy.PyvoyServer):
        """Envoy with what the settings say."""

        def get_envoy_config(self) -> dict[str, Any]:
            return configured(super().get_envoy_config(), settings, limit)

    return Configured(
        app,
        address=settings.host,
        port=settings.port,
        lifespan=True,
        log_level="warning",
        additional_envoy_args=["--concurrency", "1"],
        env=environment,
        stdout=None,
        stderr=None,
    )


def transport_socket(tls: ServerTls) -> dict[str, Any]:
    """Envoy's form of the TLS files. It reads them when it starts."""
    own = {"certificate_chain": {"filename": str(tls.cert)}, "private_key": {"filename": str(tls.key)}}
    common: dict[str, Any] = {"alpn_protocols": ["h2"], "tls_certificates": [own]}
    if tls.client_ca is not None:
        common["validation_context"] = {"trusted_ca": {"filename": str(tls.client_ca)}}
    typed = {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        "common_tls_context": common,
        "require_client_certificate": tls.client_ca is not None,
    }
    return {"name": "envoy.transport_sockets.tls", "typed_config": typed}


def _limit(http: dict[str, Any], limit: InFlight) -> None:
    """Adds the limit to the settings of an HTTP connection manager."""
    # The filter looks for the concurrency at which latency stays what it should be. Between equal bounds it has nothing
    # to look for: a fixed limit, which Envoy has elsewhere only for clusters, and here is none.
    controller = {
        "concurrency_limit_params": {"max_concurrency_limit": limit.calls, "concurrency_update_interval": "1s"},
        "min_rtt_calc_params": {"fixed_value": "1s", "min_concurrency": limit.calls},
    }
    typed = {
        "@type": f"type.googleapis.com/{LIMITER.replace('envoy', 'envoy.extensions')}.v3.AdaptiveConcurrency",
        "gradient_controller_config": controller,
        "concurrency_limit_exceeded_status": {"code": "TooManyRequests"},
    }
    # Streams and health checks stay open for as long as their callers like: they must not take the place of calls.
    http["http_filters"].insert(0, {"name": LIMITER, "disabled": True, "typed_config": typed})
    enabled = {"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "config": {}}
    http["route_config"]["virtual_hosts"][0]["routes"] = [
        {
            "match": {"path": limit.method},
            "non_forwarding_action": {},
            "typed_per_filter_config": {LIMITER: enabled},
        },
        {"match": {"prefix": "/"}, "non_forwarding_action": {}},
    ]
    # Envoy would make UNAVAILABLE of it, which says that nobody is there.
    status = {"grpc-status": str(grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]), PUSHBACK: str(PUSHBACK_MS)}
    exceeded = {"op": "EQ", "value": {"default_value": 429, "runtime_key": "none"}}
    http["local_reply_config"] = {
        "mappers": [
            {
                "filter": {"status_code_filter": {"comparison": exceeded}},
                "headers_to_add": [{"header": {"key": key, "value": value}} for key, value in status.items()],
                "body": {"inline_string": limit.advice},
            }
        ]
    }


def configured(config: dict[str, Any], settings: ServiceSettings, limit: InFlight) -> dict[str, Any]:
    """Envoy's configuration with the limits and connection settings that grpcio servers here have."""
    (listener,) = config["static_resources"]["listeners"]
    # One process has the port, and a message must fit into what Envoy keeps of a request.
    listener["enable_reuse_port"] = False
    listener["per_connection_buffer_limit_bytes"] = settings.max_message_bytes + (1 << 16)
    http = listener["filter_chains"][0]["filters"][-1]["typed_config"]
    http["codec_type"] = "HTTP2"
    # A stream may be quiet for as long as its caller likes.
    http["stream_idle_timeout"] = "0s"
    http["http2_protocol_options"] = {"max_concurrent_streams": UNLIMITED}
    _limit(http, limit)
    if settings.tls is not None:
        listener["filter_chains"][0]["transport_socket"] = transport_socket(settings.tls)
    if settings.keepalive_s is not None:
        probes = {"interval": f"{settings.keepalive_s}s", "timeout": f"{PROBE_TIMEOUT_S}s"}
        http["http2_protocol_options"]["connection_keepalive"] = probes
    if settings.max_connection_age_s is not None:
        http["common_http_protocol_options"] = {"max_connection_duration": f"{settings.max_connection_age_s}s"}
        http["drain_timeout"] = f"{settings.drain_s}s"
    return config
