"""Decides what is loaded and when: by looking at the repository, on request, or once."""

import asyncio
import logging
import time
from dataclasses import dataclass

from core.errors import BakeoffError, InvalidInputError, WrongStateError
from core.repository import MANIFEST, ModelRepository
from services.serving.loading import Stamp, foreign, stamp, stamp_if_there
from services.serving.models import Models
from services.serving.settings import ServingSettings
from services.serving.versions import VersionPolicy, parse_config, parse_policy, policy_of

log = logging.getLogger(__name__)
RETRY_FIRST_S, RETRY_MOST_S = 2.0, 60.0


@dataclass(frozen=True)
class Published:
    """A version in the repository that is to be served."""

    version: int
    stamp: Stamp
    problem: str = ""
    """Why this server cannot serve it; empty when it may try."""


@dataclass(frozen=True)
class Wanted:
    """What is to be served of one model."""

    versions: tuple[Published, ...] = ()
    problem: str = ""
    """Why no version could be chosen."""
    config: Stamp | None = None
    """Of the model's config.pbtxt; None where there is none."""

    @property
    def problems(self) -> str:
        """Everything that stands in the way; empty when nothing does."""
        each = [f"version {one.version}: {one.problem}" for one in self.versions if one.problem]
        return "; ".join([self.problem, *each] if self.problem else each)


@dataclass(frozen=True)
class Failure:
    """What could not be loaded, and when to try it again: a full disk or a store that is away may be over then."""

    wanted: Wanted
    delay_s: float
    due: float
    """As time.monotonic() counts."""

    @classmethod
    def after(cls, wanted: Wanted, before: "Failure | None") -> "Failure":
        """The same thing failing again waits twice as long."""
        again = before is not None and before.wanted == wanted
        delay_s = min(RETRY_MOST_S, 2 * before.delay_s) if before is not None and again else RETRY_FIRST_S
        return cls(wanted, delay_s, time.monotonic() + delay_s)


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
        self._seen: dict[str, Wanted] = {}
        """What was last taken up without a failure."""
        self._failures: dict[str, Failure] = {}
        self._default = parse_policy(settings.version_policy)
        self._policies: dict[str, tuple[Stamp, VersionPolicy]] = {}
        self._polling: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Loads what the settings ask for; afterwards follows the repository where they say so.

        Raises:
            BakeoffError: a model named with --load-model cannot be loaded.
            NotFoundError: there is no repository. Who polls waits for one whose parent folder or bucket is there: the
                first model published creates it.
        """
        if self._settings.model_control == "explicit":
            for name in self._settings.load_model:
                await self.load(name)
            return
        await self._look()
        if self._settings.model_control == "poll":
            if self._repository.absent:
                log.warning("model repository %s is not there yet; waiting for its first model", self._repository.place)
            self._polling = asyncio.ensure_future(self._poll())

    async def stop(self) -> None:
        """Ends polling."""
        if self._polling is not None:
            self._polling.cancel()
            await asyncio.wait({self._polling})

    async def load(self, name: str, parameters: tuple[str, ...] = ()) -> None:
        """Makes the versions answer that the model's policy chooses; returns when they do.

        Args:
            name: the model.
            parameters: names of the overrides somebody sent; there must be none.

        Raises:
            InvalidInputError: overrides were sent, the model is damaged or wrong, or its policy chooses no version.
            WrongStateError: this server's models are fixed at start, or the model needs another runtime or trust.
            NotFoundError: the repository has no such model.
        """
        if parameters:
            raise InvalidInputError(
                f"parameters {', '.join(parameters)} are refused: configuration and files come from the repository "
                "only; publish the model there"
            )
        self._check_control("none")
        wanted = await asyncio.to_thread(self._asked, name)
        if wanted.problem:
            raise InvalidInputError(f"model {name!r}: {wanted.problem}")
        await self._serve(name, wanted, wanted.versions)

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
                problem = published[name].problems
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
        said = ""
        while True:
            await asyncio.sleep(self._settings.poll_s)
            # A repository that is away for a moment must not end the watch over it, nor fill the log.
            try:
                await self._look()
                said = ""
            except BakeoffError as error:
                if str(error) != said:
                    log.warning("cannot look for models, trying again: %s", error)
                said = str(error)
            except Exception:
                log.exception("cannot look for models; trying again")

    async def _look(self) -> None:
        """Loads what is new in the repository and unloads what is gone."""
        published = await asyncio.to_thread(self._scan)
        self._failures = {name: failure for name, failure in self._failures.items() if name in published}
        for name, wanted in published.items():
            failure = self._failures.get(name)
            waits = failure is not None and failure.wanted == wanted and time.monotonic() < failure.due
            if waits or self._seen.get(name) == wanted:
                continue
            if wanted.problems:
                log.info("model %s is not served as wanted: %s", name, wanted.problems)
            try:
                await self._serve(name, wanted, tuple(one for one in wanted.versions if not one.problem))
            except Exception:
                # It was logged and kept as the version's state; the next model may be fine.
                self._failures[name] = Failure.after(wanted, failure)
        for name in {model.name for model in self._models.serving()} - published.keys():
            await self._models.unload(name)
            self._seen.pop(name, None)

    async def _serve(self, name: str, wanted: Wanted, chosen: tuple[Published, ...]) -> None:
        """Has the chosen ones of the wanted versions served; the others go when all of them are."""
        sources = {model.version: model.source for model in self._models.serving() if model.name == name}
        now = {one.version: (one.stamp, wanted.config) for one in chosen}
        again = [version for version, source in sources.items() if now.get(version, source) != source]
        if chosen:
            keep = len(chosen) < len(wanted.versions)
            await self._models.serve(name, [one.version for one in chosen], again, keep)
        self._seen[name] = wanted
        self._failures.pop(name, None)

    def _scan(self) -> dict[str, Wanted]:
        """What is to be served of every model. Raises NotFoundError without a repository or a place for one."""
        self._repository.refresh()
        # One that was here and is away must not unload what answers.
        self._repository.require(awaited=self._settings.model_control != "none" and not self._seen)
        return {name: self._wanted(name) for name in self._repository.models()}

    def _asked(self, name: str) -> Wanted:
        """What is to be served of a model that somebody asks for now."""
        self._repository.refresh(name)
        return self._wanted(name)

    def _wanted(self, name: str) -> Wanted:
        """Raises NotFoundError for an unknown model."""
        self._repository.latest(name)
        config = None
        try:
            config = stamp_if_there(self._repository.root / name / "config.pbtxt")
            chosen = self._policy(name, config).choose(self._repository.versions(name))
        except (InvalidInputError, OSError) as error:
            return Wanted(problem=str(error), config=config)
        seen = {one.version: one for one in self._seen.get(name, Wanted()).versions}
        published = tuple(self._published(name, version, seen.get(version)) for version in chosen)
        return Wanted(published, config=config)

    def _published(self, name: str, version: int, seen: Published | None) -> Published:
        try:
            manifest = stamp(self._repository.path(name, version) / MANIFEST)
            if seen is not None and seen.stamp == manifest:
                return seen
            artifact = self._repository.artifact(name, version)
        except (BakeoffError, OSError) as error:
            return Published(version, (0, 0, 0), str(error))
        return Published(version, manifest, foreign(artifact, self._settings.runtime))

    def _policy(self, name: str, config: Stamp | None) -> VersionPolicy:
        """The model's own policy, or the server's. One that cannot be read changes nothing: loading will say why."""
        if config is None:
            return self._default
        known = self._policies.get(name)
        if known is not None and known[0] == config:
            return known[1]
        try:
            policy = policy_of(parse_config(self._repository.root / name / "config.pbtxt"), self._default)
        except InvalidInputError:
            return known[1] if known else self._default
        self._policies[name] = (config, policy)
        return policy
