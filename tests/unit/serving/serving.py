"""Models served in this process by predictors made for a test."""

import threading
from pathlib import Path

from core.repository import ModelRepository
from core.runtimes import devices
from services.serving.control import Control
from services.serving.handler import InferenceHandler
from services.serving.loading import Loader
from services.serving.models import Models
from services.serving.settings import ServingSettings
from tests.unit.serving import published


class Server:
    """Everything behind the transport, with a runtime whose files name the seed of their weights.

    While `gate` is closed, requests of GATED images wait; while `may_load` is closed, loading waits.
    """

    def __init__(self, root: Path, **settings) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.may_load = threading.Event()
        self.may_load.set()
        self.loads: list[Path] = []
        given = {"runtime": "onnxruntime", "repository": root, "trust_repository": True, "max_batch": 16}
        self.settings = ServingSettings(**{**given, **settings})
        self.repository = ModelRepository(root)
        self.models = Models(Loader(self.repository, self.settings, self._runtime))
        self.control = Control(self.repository, self.models, self.settings)
        self.handler = InferenceHandler(self.models)

    def _runtime(
        self, format_name: str, path: Path, threads: int, data: bytes | None
    ) -> tuple[published.Predict, devices.Device]:
        self.loads.append(path)
        assert self.may_load.wait(10)
        predict = published.linear(published.weights(int(data or path.read_bytes())))

        def gated(images):
            if len(images) == GATED:
                assert self.gate.wait(10)
            return predict(images)

        return gated, "cpu"

    async def close(self) -> None:
        self.gate.set()
        await self.control.stop()
        await self.models.close()


GATED = 3
"""Requests of this many images wait for `Server.gate`."""


def publish(root: Path, name: str, seed: int = 0, wrong: bool = False, **changes):
    """Publishes a model for `Server`; `wrong`: its golden cases are another model's."""
    golden = published.linear(published.weights(seed + 100 if wrong else seed))
    return published.publish(root, name, golden, str(seed).encode(), **changes)
