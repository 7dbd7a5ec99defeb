"""Runs every framework's probe once, in a process of its own, two at a time."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from core.schemas.specs import FRAMEWORKS

ROOT = Path(__file__).parents[2]
PROBE_SECONDS = 2400
ENVIRONMENT = dict(os.environ)
"""As it was at the start: a thread that starts a process cannot read what pytest changes before and after each test."""
LIBRARIES = {"keras": "keras", "tensorflow": "tensorflow", "pytorch": "torch", "fastai": "fastai"}


@dataclass(frozen=True)
class Answers:
    """What one framework's probe wrote down; see tests/contract/probe.py for the names."""

    framework: str
    folder: Path
    arrays: dict[str, NDArray[Any]]
    facts: dict[str, Any]

    def below(self, name: str) -> dict[str, NDArray[Any]]:
        """The arrays under `name/`, without it."""
        return {key.removeprefix(f"{name}/"): value for key, value in self.arrays.items() if key.startswith(f"{name}/")}


class Probes:
    """Probes by framework, all started at once, read when asked for."""

    def __init__(self, running: dict[str, "Future[Answers]"]) -> None:
        self._running = running

    def __getitem__(self, framework: str) -> Answers:
        if framework not in self._running:
            pytest.skip(f"{LIBRARIES[framework]} is not installed: pip install 'bakeoff[{framework}]'")
        return self._running[framework].result()

    def all(self) -> list[Answers]:
        """Every installed framework's answers; skips where there is nothing to compare."""
        if len(self._running) < 2:
            pytest.skip("comparing needs two frameworks: pip install 'bakeoff[all]'")
        return [future.result() for future in self._running.values()]


@pytest.fixture(scope="session")
def torchvision_models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Files and logits of torchvision's own models; an empty folder where it is not installed."""
    folder = tmp_path_factory.mktemp("torchvision")
    if find_spec("torchvision"):
        run_python("tests.contract.torchvision_models", str(folder))
    yield folder
    # Half a gigabyte, which pytest would keep three times.
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def probes(tmp_path_factory: pytest.TempPathFactory, torchvision_models: Path) -> Iterator[Probes]:
    """Starts the probe of every installed framework."""
    installed = [name for name in FRAMEWORKS if find_spec(LIBRARIES[name])]
    folders = {name: tmp_path_factory.mktemp(f"probe-{name}") for name in installed}
    with ThreadPoolExecutor(max_workers=2) as pool:
        yield Probes({name: pool.submit(_run, name, folder, torchvision_models) for name, folder in folders.items()})


@pytest.fixture(params=FRAMEWORKS)
def answers(request: pytest.FixtureRequest, probes: Probes) -> Answers:
    """Each framework's answers in turn."""
    return probes[request.param]


def _run(framework: str, folder: Path, torchvision: Path) -> Answers:
    run_python("tests.contract.probe", framework, str(folder), str(torchvision))
    with np.load(folder / "arrays.npz") as stored:
        arrays = dict(stored)
    return Answers(framework, folder, arrays, json.loads((folder / "facts.json").read_text()))


def run_python(*command: str) -> None:
    """Runs a module of this suite in a process of its own; raises with the end of its standard error if it fails."""
    line = [sys.executable, "-m", *command]
    done = subprocess.run(
        line, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, timeout=PROBE_SECONDS, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-3000:]}")
