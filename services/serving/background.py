"""Tunes what is served but was never measured on this machine, in the background, and has the model use the choice.

One model at a time, in a process of lowest priority that runs `services.serving.tune`: measuring in the server's own
process would hold up its event loop, and a model that breaks under load must not take the server with it.
"""

import asyncio
import contextlib
import json
import logging
import sys
from collections.abc import Sequence
from typing import Any

from core.errors import BakeoffError
from core.repository import ModelRepository
from services.serving.models import Models, ServedModel
from services.serving.settings import ServingSettings

log = logging.getLogger(__name__)
LOOK_S = 0.5
LONGEST = 4.0
"""Times the seconds given after which a measurement, start and load included, is ended; at least LEAST_S."""
LEAST_S = 300.0


class BackgroundTuner:
    """Watches what is loaded; use `run` as a task and cancel it to stop."""

    def __init__(self, repository: ModelRepository, models: Models, settings: ServingSettings) -> None:
        self._repository, self._models, self._settings = repository, models, settings
        self._tried: set[str] = set()

    async def run(self) -> None:
        """Goes on until it is cancelled. What cannot be tuned is logged once and served as it is."""
        while True:
            for model in self._models.serving():
                digest = model.artifact.digest
                if model.tuned or digest in self._tried:
                    continue
                self._tried.add(digest)
                try:
                    await self._tune(model)
                except (BakeoffError, OSError, TimeoutError, ValueError) as error:
                    log.warning("model %s is not tuned: %s", model.name, error or "it took too long")
            await asyncio.sleep(LOOK_S)

    async def _tune(self, model: ServedModel) -> None:
        seconds = self._settings.tune_s
        log.info("model %s is measured in the background, for about %.0f s", model.name, seconds)
        async with asyncio.timeout(max(LEAST_S, LONGEST * seconds)):
            told = await _told(self._command(model.name))
        if told["tuned"]["artifact"] != model.artifact.digest:
            log.info("model %s was replaced while it was measured", model.name)
            return
        await self._models.reload(model.name, model.version)

    def _command(self, name: str) -> Sequence[str]:
        settings = self._settings
        command = [sys.executable, "-m", "services.serving.tune", name, "--nice", "19", "--runtime", settings.runtime]
        command += ["--repository", str(self._repository.root), "--cache", str(settings.cache)]
        command += ["--device", settings.device, "--seconds", str(settings.tune_s), "--threads", str(settings.threads)]
        return [*command, *["--trust-repository"] * settings.trust_repository]


async def _told(command: Sequence[str]) -> dict[str, Any]:
    """The last thing the program told; it ends with this task. Raises BakeoffError when it did not end well."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe)
    try:
        output, errors = await process.communicate()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    lines = output.splitlines()
    found: dict[str, Any] = json.loads(lines[-1]) if lines else {}
    if process.returncode or "tuned" not in found:
        said = errors.decode(errors="replace").strip().splitlines()
        raise BakeoffError(found.get("error") or (said or [f"the measurement ended with {process.returncode}"])[-1])
    return found
