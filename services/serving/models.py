"""Which versions of which models answer: loading in the background, atomic swap, unloading after the last request."""

import asyncio
import contextlib
import logging
import time
from collections import defaultdict
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from core.errors import BakeoffError, InvalidInputError, NotFoundError, NotReadyError
from services.serving.batcher import Batcher
from services.serving.loading import LoadedModel
from services.serving.statistics import Statistics

log = logging.getLogger(__name__)
MOST_DIGITS = 18
"""Of a version's number, as protobuf's integers have them."""
LOADING, READY, UNLOADING, UNAVAILABLE = "LOADING", "READY", "UNLOADING", "UNAVAILABLE"


class LoadsModels(Protocol):
    """Loads one version; called in a thread."""

    def load(self, name: str, version: int) -> LoadedModel: ...


@dataclass(frozen=True)
class State:
    """Where a version is in its life, and why."""

    name: str
    reason: str = ""


class ServedModel:
    """One loaded version. Create it inside a running event loop."""

    def __init__(self, loaded: LoadedModel) -> None:
        self.name, self.version = loaded.artifact.name, loaded.artifact.version
        self.artifact, self.config, self.tuned = loaded.artifact, loaded.config, loaded.tuned
        self.source = loaded.source
        self.statistics = Statistics()
        self.batcher = Batcher(self.name, loaded.predict, self.config.policy, self.statistics.executed)
        self._users = 0
        self._unused = asyncio.Event()
        self._unused.set()

    @contextlib.contextmanager
    def used(self) -> Iterator[None]:
        """Holds the version: it is not unloaded while the block runs."""
        self._users += 1
        self._unused.clear()
        try:
            yield
        finally:
            self._users -= 1
            if not self._users:
                self._unused.set()

    async def retire(self) -> None:
        """Waits for the last request, then releases threads and memory."""
        await self._unused.wait()
        self.batcher.close()


class Models:
    """The models of one server. Create it inside a running event loop.

    Args:
        loader: brings one version into memory; called in one thread, so that loading takes turns.
    """

    def __init__(self, loader: LoadsModels) -> None:
        self._loader = loader
        self._thread = ThreadPoolExecutor(1, "load")
        self._serving: dict[str, dict[int, ServedModel]] = {}
        self._states: dict[str, dict[int, State]] = {}
        self._retiring: set[asyncio.Task[None]] = set()
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def get(self, name: str, version: str = "") -> ServedModel:
        """The version that answers: the one named, or the newest.

        Raises:
            InvalidInputError: `version` is not a number.
            NotFoundError: nothing of that name or version is loaded; lists what is, and why the version is not.
            NotReadyError: it is being loaded, or no version of the model could be.
        """
        loaded = self._serving.get(name)
        if not loaded:
            raise self._absent(name)
        if not version:
            return loaded[max(loaded)]
        if not version.isdecimal() or len(version) > MOST_DIGITS:
            raise InvalidInputError(
                f"version {version[:MOST_DIGITS]!r} of model {name!r} is not a number of at most {MOST_DIGITS} digits; "
                "leave it empty for the newest"
            )
        if int(version) not in loaded:
            raise self._absent_version(name, int(version))
        return loaded[int(version)]

    def only(self) -> ServedModel | None:
        """The version that answers whatever is asked; None where several models or versions are loaded, or none."""
        if len(self._serving) != 1:
            return None
        (loaded,) = self._serving.values()
        return next(iter(loaded.values())) if len(loaded) == 1 else None

    def versions(self, name: str) -> list[int]:
        """Loaded versions of a model, ascending."""
        return sorted(self._serving.get(name, ()))

    def serving(self) -> list[ServedModel]:
        """All loaded versions, by name and version."""
        return [loaded[version] for _, loaded in sorted(self._serving.copy().items()) for version in sorted(loaded)]

    def states(self) -> dict[str, dict[int, State]]:
        """What is known of every version that was ever asked for."""
        return {name: dict(versions) for name, versions in self._states.items()}

    async def serve(
        self, name: str, versions: Collection[int], again: Collection[int] = (), keep: bool = False
    ) -> None:
        """Makes versions of a model answer and takes its others out of service, each once its last request is answered.

        Args:
            versions: at least one. Loaded newest first, so that the default version changes once; those that already
                answer stay as they are.
            again: of these, the ones to load anew because their files or their configuration changed.
            keep: leave the other versions in service.

        Raises:
            BakeoffError: why the newest of those that failed cannot be served; whatever answered before still does.
        """
        # The work goes on when the caller leaves: half a load helps nobody.
        await asyncio.shield(asyncio.ensure_future(self._serve(name, versions, again, keep)))

    async def reload(self, name: str, version: int) -> None:
        """Loads a version anew, if it still answers: what is known about it has changed."""
        async with self._turns[name]:
            if version in self._serving.get(name, ()):
                await self._load(name, version)

    async def unload(self, name: str) -> None:
        """Takes a model out of service; returns when its last request is answered. Raises NotFoundError."""
        async with self._turns[name]:
            loaded = self._serving.pop(name, None)
            if not loaded:
                raise NotFoundError(f"model {name!r} is not loaded; loaded: {self._names()}")
            retiring = [self._retire(model, "unloaded") for model in loaded.values()]
        await asyncio.wait(retiring)

    async def close(self) -> None:
        """Unloads everything."""
        for name in list(self._serving):
            await self.unload(name)
        await asyncio.gather(*self._retiring)
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _serve(self, name: str, versions: Collection[int], again: Collection[int], keep: bool) -> None:
        async with self._turns[name]:
            errors: list[Exception] = []
            before, loaded = set(self._serving.get(name, ())), set[int]()
            for version in sorted(versions, reverse=True):
                if version in before and version not in again:
                    continue
                try:
                    await self._load(name, version)
                except Exception as error:
                    errors.append(error)
                else:
                    loaded.add(version)
            if errors:
                raise errors[0]
            # No turn of the event loop since the last one was loaded: nobody saw both sets.
            if not keep:
                self._drop(name, versions, loaded - before)

    async def _load(self, name: str, version: int) -> None:
        states = self._states.setdefault(name, {})
        states[version] = State(LOADING)
        started = time.monotonic()
        try:
            loop = asyncio.get_running_loop()
            loaded = await loop.run_in_executor(self._thread, self._loader.load, name, version)
        except Exception as error:
            if not isinstance(error, BakeoffError):
                log.exception("model %s version %d failed to load", name, version)
            # What answered before a reload goes on, and so it is ready.
            if version in self._serving.get(name, ()):
                states[version] = State(READY, f"as loaded before; not loaded anew: {error}")
                log.warning("model %s version %d is served as loaded before, not anew: %s", name, version, error)
            else:
                states[version] = State(UNAVAILABLE, str(error))
                log.warning("model %s version %d is not served: %s", name, version, error)
            raise
        before = self._serving.get(name, {})
        # A new dict: the metrics thread may be reading the old one.
        self._serving[name] = {**before, version: ServedModel(loaded)}
        states[version] = State(READY)
        log.info("model %s version %d loaded in %.2f s", name, version, time.monotonic() - started)
        if version in before:
            self._retire(before[version], "loaded anew")

    def _drop(self, name: str, wanted: Collection[int], new: Collection[int]) -> None:
        """Takes the versions that nobody wants out of service, for the `new` ones where there are any."""
        before = self._serving[name]
        self._serving[name] = {version: model for version, model in before.items() if version in wanted}
        numbers = ", ".join(map(str, sorted(new)))
        for version in before.keys() - self._serving[name].keys():
            self._retire(before[version], f"replaced by version {numbers}" if new else "no longer wanted")

    def _retire(self, model: ServedModel, reason: str) -> asyncio.Task[None]:
        """Unloads a version in the background; nobody can get it any more."""
        self._note(model, State(UNLOADING, reason))
        task = asyncio.ensure_future(self._retired(model, reason))
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)
        return task

    async def _retired(self, model: ServedModel, reason: str) -> None:
        await model.retire()
        self._note(model, State(UNAVAILABLE, reason))
        log.info("model %s version %d unloaded: %s", model.name, model.version, reason)

    def _note(self, model: ServedModel, state: State) -> None:
        """Sets a version's state, unless the same version is served again from new files."""
        if model.version not in self._serving.get(model.name, {}):
            self._states[model.name][model.version] = state

    def _absent(self, name: str) -> BakeoffError:
        states = self._states.get(name, {})
        if not states:
            return NotFoundError(f"no model {name!r} is loaded; loaded: {self._names()}")
        state = states[max(states)]
        return NotReadyError(f"model {name!r} is {state.name}" + (f": {state.reason}" if state.reason else ""))

    def _absent_version(self, name: str, version: int) -> BakeoffError:
        """Of a model that has others loaded. Trying again helps only while it is being loaded."""
        state = self._states[name].get(version)
        why = f" ({state.name}: {state.reason})" if state and state.reason else ""
        loaded = ", ".join(map(str, self.versions(name)))
        if state and state.name == LOADING:
            return NotReadyError(f"version {version} of model {name!r} is {LOADING}; loaded: {loaded}")
        return NotFoundError(f"version {version} of model {name!r} is not loaded{why}; loaded: {loaded}")

    def _names(self) -> str:
        return ", ".join(sorted(self._serving)) or "none"
