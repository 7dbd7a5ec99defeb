"""Decides what is loaded and when: by looking at the repository, on request, or once."""

import asyncio
import contextlib
import logging
from dataclasses import dataclass

from core.errors import BakeoffError, InvalidInputError, NotFoundError, WrongStateError
from core.repository import MANIFEST, ModelRepository
from services.serving.loading import foreign
from services.serving.models import Models
from services.serving.settings import ServingSettings

log = logging.getLogger(__name__)
Stamp = tuple[int, int, int]
"""Inode, size and modification time of an artifact.json: tells a version that was published again."""


@dataclass(frozen=True)
class Published:
    """The newest version of a model in the repository."""

    version: int
    stamp: Stamp
    problem: str = ""
    """Why this server cannot serve it; empty when it may try."""


@dataclass(frozen=True)
class IndexEntry:
    """One line of the repository index."""

    name: str
    version: str
    state: str
    reason: str


class Control:
    """Follows the settings' `model_control`."""

    def __init__(self, repository: ModelRepository, models: Models, settings: ServingSettings) -> None:
        self._repository, self._models, self._settings = repository, models, settings
        self._seen: dict[str, Published] = {}
        self._polling: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Loads what the settings ask for; afterwards follows the repository where they say so.

        Raises:
            BakeoffError: a model named with --load-model cannot be loaded.
        """
        if self._settings.model_control == "explicit":
            for name in self._settings.load_model:
                await self.load(name)
            return
        await self._look()
        if self._settings.model_control == "poll":
            self._polling = asyncio.ensure_future(self._poll())

    async def stop(self) -> None:
        """Ends polling."""
        if self._polling is not None:
            self._polling.cancel()
            await asyncio.wait({self._polling})

    async def load(self, name: str, parameters: tuple[str, ...] = ()) -> None:
        """Makes the newest version of a model answer; returns when it does.

        Args:
            name: the model.
            parameters: names of the overrides somebody sent; there must be none.

        Raises:
            InvalidInputError: overrides were sent, or the model is damaged or wrong.
            WrongStateError: this server's models are fixed at start, or the model needs another runtime or trust.
            NotFoundError: the repository has no such model.
        """
        if parameters:
            raise InvalidInputError(
                f"parameters {', '.join(parameters)} are refused: configuration and files come from the repository "
                "only; publish the model there"
            )
        self._check_control("none")
        published = await asyncio.to_thread(self._newest, name)
        await self._load(name, published)

    async def unload(self, name: str) -> None:
        """Takes a model out of service; returns when its last request is answered."""
        self._check_control("none", "poll")
        await self._models.unload(name)
        self._seen.pop(name, None)

    async def index(self, ready_only: bool) -> list[IndexEntry]:
        """Every model of the repository and every version that was ever loaded, by name and version."""
        published = await asyncio.to_thread(self._scan)
        states = self._models.states()
        entries = []
        for name in sorted(published.keys() | states.keys()):
            known = states.get(name, {})
            entries += [
                IndexEntry(name, str(version), state.name, state.reason) for version, state in sorted(known.items())
            ]
            if not known:
                problem = published[name].problem
                entries.append(IndexEntry(name, "", "UNAVAILABLE" if problem else "", problem))
        return [entry for entry in entries if entry.state == "READY" or not ready_only]

    def _check_control(self, *refused: str) -> None:
        control = self._settings.model_control
        if control in refused:
            raise WrongStateError(
                f"this server runs with --model-control {control}; start it with --model-control explicit to choose "
                "models"
            )

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(self._settings.poll_s)
            try:
                await self._look()
            except Exception:
                # A repository that is away for a moment must not end the watch over it.
                log.exception("cannot look at %s; trying again", self._repository.root)

    async def _look(self) -> None:
        """Loads what is new in the repository and unloads what is gone."""
        published = await asyncio.to_thread(self._scan)
        for name, newest in published.items():
            if self._seen.get(name) == newest:
                continue
            if newest.problem:
                self._seen[name] = newest
                log.info("model %s version %d is not served: %s", name, newest.version, newest.problem)
                continue
            # Whatever goes wrong is logged and kept as the version's state; the next model may be fine.
            with contextlib.suppress(Exception):
                await self._load(name, newest)
        for name in {model.name for model in self._models.serving()} - published.keys():
            await self._models.unload(name)
            self._seen.pop(name, None)

    async def _load(self, name: str, newest: Published) -> None:
        seen = self._seen.get(name)
        self._seen[name] = newest
        again = seen is not None and seen.version == newest.version and seen.stamp != newest.stamp
        await self._models.load(name, newest.version, again)

    def _scan(self) -> dict[str, Published]:
        """The newest version of every model. Raises NotFoundError when there is no repository."""
        if not self._repository.root.is_dir():
            raise NotFoundError(f"model repository {self._repository.root} is not a folder; create it or name another")
        return {name: self._newest(name) for name in self._repository.models()}

    def _newest(self, name: str) -> Published:
        """Raises NotFoundError for an unknown model."""
        version = self._repository.latest(name)
        try:
            status = (self._repository.path(name, version) / MANIFEST).stat()
            stamp = (status.st_ino, status.st_size, status.st_mtime_ns)
            seen = self._seen.get(name)
            if seen is not None and (seen.version, seen.stamp) == (version, stamp):
                return seen
            artifact = self._repository.artifact(name, version)
        except (BakeoffError, OSError) as error:
            return Published(version, (0, 0, 0), str(error))
        return Published(version, stamp, foreign(artifact, self._settings.runtime))
