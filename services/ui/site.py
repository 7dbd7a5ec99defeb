"""What the pages show, without HTTP: runs, models, links, and answers of served models."""

import base64
import io
import socket
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from PIL import Image

from core import labels, preprocess
from core.errors import BakeoffError, NotFoundError
from core.formats import get_format
from core.repository import ModelRepository
from core.schemas.artifact import Artifact
from core.schemas.course import COURSES
from services.client.inference import InferenceClient
from services.ui.experiments import Experiments

MAX_LOADED = 12
"""Models this site keeps in the servers' memory; the one asked longest ago goes first."""
CALL_TIMEOUT_S = 120.0
TOP = 5
"""Classes of an answer that are sent."""
PROBE_S = 0.25


@dataclass(frozen=True)
class Answer:
    """What one artefact said about one image. Times are milliseconds."""

    top: list[tuple[str, float]]
    """Class and probability, the most probable first."""
    latency_ms: float
    """Of the call, from here to the server and back; loading the model is not part of it."""
    server_ms: Mapping[str, float]
    seen: str
    """The image as the model gets it, a PNG as a `data:` address."""


class Site:
    """Reads experiments and models from folders, and asks servers.

    Args:
        home: folder with `reports`, and `experiments` while and after they run.
        frozen: the store's folder of experiments; None where the store is elsewhere.
        repository: the models that can be asked.
        target: runtime name to `host:port` of its server.
        links: title to address of other tools; shown with whether somebody listens there.
    """

    def __init__(
        self,
        home: Path,
        repository: ModelRepository,
        target: Callable[[str], str],
        links: Mapping[str, str],
        frozen: Path | None = None,
    ) -> None:
        self.reports = home / "reports"
        self._experiments = Experiments(self.reports, home / COURSES, frozen)
        self._repository, self._target, self._links = repository, target, links
        self._clients: dict[str, InferenceClient] = {}
        self._loaded: OrderedDict[str, InferenceClient] = OrderedDict()
        self._lock = threading.Lock()

    def close(self) -> None:
        """Unloads what was loaded for this site, as far as the servers still answer."""
        with self._lock:
            for name, client in self._loaded.items():
                _unload(client, name)
            for client in self._clients.values():
                client.close()
            self._loaded.clear()

    def runs(self) -> list[dict[str, Any]]:
        """Every experiment of the home folder, those that run first, then the newest."""
        return self._experiments.all()

    def models(self) -> list[dict[str, Any]]:
        """The newest version of every model of the repository."""
        found = []
        self._repository.refresh()
        for name in self._repository.models():
            try:
                found.append(_model(self._repository.artifact(name, self._repository.latest(name))))
            except (BakeoffError, KeyError, OSError):  # Damaged, or of another version: the others can be asked.
                continue
        return found

    def links(self) -> list[dict[str, Any]]:
        """Other tools, and whether somebody listens at their address now."""
        return [{"title": title, "url": url, "up": _listens(url)} for title, url in self._links.items()]

    def answer(self, name: str, image: bytes) -> Answer:
        """Asks a model about an encoded image, through its server.

        Raises:
            NotFoundError: no such model.
            InvalidInputError: no image.
            NotReadyError: its server does not answer.
        """
        artifact = self._artifact(name)
        pixels = preprocess.decode(image, artifact.preprocess, "the image")
        client = self._ready(artifact)
        begin = time.perf_counter()
        prediction = client.predict(name, pixels[None], artifact.version)
        latency_ms = 1000 * (time.perf_counter() - begin)
        row = prediction.probabilities[0]
        best = row.argsort()[::-1][:TOP]
        return Answer(
            top=[(artifact.classes[index], float(row[index])) for index in best],
            latency_ms=latency_ms,
            server_ms={phase: ns / 1e6 for phase, ns in prediction.server_ns.items()},
            seen=_as_png(pixels),
        )

    def _artifact(self, name: str) -> Artifact:
        self._repository.refresh(name)
        if name not in self._repository.models():
            raise NotFoundError(f"no model {name!r} in {self._repository.place}")
        return self._repository.artifact(name, self._repository.latest(name))

    def _ready(self, artifact: Artifact) -> InferenceClient:
        """A client of the model's server, with the model loaded; its first call after loading warms it up."""
        target = self._target(get_format(artifact.format).runtime)
        with self._lock:
            client = self._clients.get(target)
            if client is None:
                client = self._clients[target] = InferenceClient(target, timeout_s=CALL_TIMEOUT_S)
            if not client.model_ready(artifact.name, artifact.version):
                client.load_model(artifact.name)
                self._loaded[artifact.name] = client
            if artifact.name in self._loaded:
                self._loaded.move_to_end(artifact.name)
            while len(self._loaded) > MAX_LOADED:
                _unload(*reversed(self._loaded.popitem(last=False)))
        return client


def _unload(client: Any, name: Any) -> None:
    try:
        client.unload_model(name)
    except BakeoffError:  # The server is gone, and the model with it.
        return


def _model(artifact: Artifact) -> dict[str, Any]:
    height, width, _ = artifact.preprocess.shape
    runtime = get_format(artifact.format).runtime
    return {
        "name": artifact.name,
        "title": f"{labels.framework(artifact.framework)} {labels.made(artifact.format, artifact.precision)}",
        "served": labels.runtime(runtime),
        "version": artifact.version,
        "framework": artifact.framework,
        "format": artifact.format,
        "runtime": runtime,
        "experiment": artifact.experiment,
        "arm": artifact.arm,
        "seed": artifact.seed,
        "input": f"{height}×{width} {artifact.preprocess.color}",
        "grey": artifact.preprocess.color == "grey",
        "classes": len(artifact.classes),
    }


def _as_png(pixels: Any) -> str:
    picture = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _listens(url: str) -> bool:
    parts = urlsplit(url)
    try:
        with socket.create_connection((parts.hostname or "", parts.port or 80), PROBE_S):
            return True
    except OSError:
        return False
