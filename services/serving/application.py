"""The serving service as a whole: puts the parts together and lives through start, readiness, drain and stop."""

import asyncio
import time
from collections.abc import Sequence

import grpc
import prometheus_client

from core import runtimes
from core.errors import ExhaustedError
from core.mirror import open_repository
from services.serving.background import BackgroundTuner
from services.serving.control import Control
from services.serving.handler import InferenceHandler
from services.serving.loading import Loader
from services.serving.metrics import ServingCollector
from services.serving.models import Models
from services.serving.rights import INFER
from services.serving.servicer import SERVICE, InferenceServicer, add_to_server
from services.serving.settings import ServingSettings

LOOK_S = 0.05


class ServingApplication:
    """What `services.rpc.server` runs."""

    def __init__(self, settings: ServingSettings) -> None:
        self._settings = settings
        self._repository = open_repository(settings.repository, settings.cache, settings.runtime)
        self._ready = False
        self._tuning: asyncio.Task[None] | None = None

    def register(self, server: grpc.aio.Server) -> Sequence[str]:
        """Adds the inference service. Called inside the event loop, to which models belong."""
        self._models = Models(Loader(self._repository, self._settings))
        self._control = Control(self._repository, self._models, self._settings)
        self._handler = InferenceHandler(self._models)
        self._collector = ServingCollector(self._models, self._handler)
        servicer = InferenceServicer(self._handler, self._models, self._control, lambda: self._ready)
        add_to_server(servicer, server)
        return [SERVICE]

    async def start(self) -> None:
        """Makes the metrics visible; models are loaded while the server already says that it is not ready."""
        prometheus_client.REGISTRY.register(self._collector)

    async def ready(self) -> None:
        """Loads the first models. Raises BakeoffError when one that was named at start cannot be loaded, or the GPU
        that was asked for is not there."""
        if self._settings.device == "cuda":
            await asyncio.to_thread(runtimes.choose_device, self._settings.runtime, "cuda")
        await self._control.start()
        self._ready = True
        if self._settings.tune_s:
            tuner = BackgroundTuner(self._repository, self._models, self._settings)
            self._tuning = asyncio.ensure_future(tuner.run())

    def refusal(self, method: str) -> ExhaustedError | None:
        """See `services.rpc.server.SheddingApplication`."""
        return self._handler.refusal() if method == INFER else None

    async def drain(self) -> None:
        """Goes on answering until no request has come for a while: callers need a moment to see NOT_SERVING."""
        self._ready = False
        last = time.monotonic() + self._settings.drain_s
        while (now := time.monotonic()) < last and now - self._handler.last_arrival < self._settings.quiet_s:
            await asyncio.sleep(LOOK_S)

    async def stop(self) -> None:
        """Unloads everything."""
        prometheus_client.REGISTRY.unregister(self._collector)
        if self._tuning is not None:
            self._tuning.cancel()
            await asyncio.wait({self._tuning})
        await self._control.stop()
        await self._models.close()
