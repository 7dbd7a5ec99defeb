"""A real Docker engine, the images under test, and the Compose project they run in."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from deploy.images import content_tag

ROOT = Path(__file__).parents[2]
ENGINE_SCRIPT = ROOT / "../shared/tools/docker-engine"
"""Starts an engine on a machine without one; BAKEOFF_DOCKER_ENGINE names another script that prints DOCKER_HOST."""
ENGINE_TIMEOUT_S = 300
WAIT_S = 120.0


def start_engine() -> str:
    """DOCKER_HOST of an engine; empty for the system's own. Skips the test, with the reason, where there is none."""
    if _run(["docker", "info"]).returncode == 0:
        return os.environ.get("DOCKER_HOST", "")
    script = Path(os.environ.get("BAKEOFF_DOCKER_ENGINE", ENGINE_SCRIPT))
    if not script.is_file():
        pytest.skip("no Docker engine answers, and no script starts one (BAKEOFF_DOCKER_ENGINE)")
    if os.getuid() != 0:
        pytest.skip(f"no Docker engine answers, and {script.name} needs root to start one")
    started = _run([str(script), "start"], ENGINE_TIMEOUT_S)
    host = started.stdout.rpartition("DOCKER_HOST=")[2].strip()
    if started.returncode or not host:
        pytest.skip(f"no Docker engine can start here: {(started.stderr or started.stdout).strip()[-300:]}")
    return host


def find_wheels() -> str:
    """A folder of wheels that this machine's pip prefers; it reaches the builds as their context `wheels`."""
    found = _run([sys.executable, "-m", "pip", "config", "get", "global.find-links"]).stdout.strip()
    return found if found and Path(found).is_dir() else ""


@dataclass(frozen=True)
class Engine:
    """`docker` and what it answers."""

    host: str

    @property
    def environment(self) -> dict[str, str]:
        own = {"DOCKER_HOST": self.host} if self.host else {}
        return {**os.environ, **own, "BAKEOFF_WHEELS": os.environ.get("BAKEOFF_WHEELS") or find_wheels()}

    def __call__(self, *arguments: str, timeout_s: float = WAIT_S) -> str:
        """Standard output of a docker command that must succeed."""
        done = self.run(*arguments, timeout_s=timeout_s)
        assert done.returncode == 0, f"docker {' '.join(arguments)}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def run(self, *arguments: str, timeout_s: float = WAIT_S) -> "subprocess.CompletedProcess[str]":
        """A docker command, whatever becomes of it."""
        return _run(["docker", *arguments], timeout_s, self.environment)

    def inspect(self, name: str) -> Any:
        """What the engine knows of an image or a container."""
        return json.loads(self("inspect", name))[0]

    def build(self, *images: str, sbom: bool = False) -> str:
        """Builds images that are not there, with `deploy/images.py`, and returns their tag."""
        script, tag = str(ROOT / "deploy/images.py"), content_tag()
        flags = ["--tag", tag, *([] if sbom else ["--no-sbom"])]
        built = _run([sys.executable, script, "build", *images, *flags], 900, self.environment)
        assert built.returncode == 0, built.stdout + built.stderr
        return tag


@dataclass(frozen=True)
class Project:
    """The Compose project of one test module; ports are free ones, volumes its own."""

    engine: Engine
    name: str
    files: tuple[Path, ...]
    tag: str
    variables: Mapping[str, str] = field(default_factory=dict)
    """What a deployment sets in its environment or in `.env`."""

    def compose(self, *arguments: str, timeout_s: float = 280) -> str:
        """Output of `docker compose`, which must succeed."""
        done = self.run(*arguments, timeout_s=timeout_s)
        assert done.returncode == 0, f"{' '.join(arguments)}\n{done.stdout}\n{done.stderr}\n{self.logs()}"
        return done.stdout

    def run(self, *arguments: str, timeout_s: float = 280) -> "subprocess.CompletedProcess[str]":
        """`docker compose`, whatever becomes of it."""
        command = ["docker", "compose", "--project-name", self.name]
        for file in self.files:
            command += ["--file", str(file)]
        environment = {**self.engine.environment, "BAKEOFF_TAG": self.tag, **self.variables}
        return _run([*command, *arguments], timeout_s, environment)

    def logs(self) -> str:
        """The last lines of every container."""
        return self.run("logs", "--tail", "20").stdout

    def container(self, service: str, index: int = 1) -> str:
        """Name of a service's container."""
        return f"{self.name}-{service}-{index}"

    def target(self, service: str, port: int) -> str:
        """`host:port` on which a service is published here."""
        return self.compose("port", service, str(port)).strip()

    def address(self, container: str) -> str:
        """IP address of a container in the project's network."""
        networks = self.engine.inspect(container)["NetworkSettings"]["Networks"]
        return str(next(iter(networks.values()))["IPAddress"])

    def bakeoff(self, *arguments: str) -> str:
        """The command in its container."""
        return self.compose("run", "--rm", "--no-TTY", "--no-deps", "cli", *arguments)


@contextmanager
def running(project: Project, services: Sequence[str]) -> Iterator[Project]:
    """Some services of a project, healthy; afterwards nothing of it is left, volumes included."""
    try:
        project.compose("up", "--detach", "--no-build", "--pull", "never", "--wait", *services)
        yield project
    finally:
        project.run("--profile", "*", "down", "--volumes", "--timeout", "1")


@dataclass(frozen=True)
class Command:
    """The command in a container that goes on by itself."""

    project: Project
    name: str
    words: tuple[str, ...]

    def start(self) -> None:
        """Starts it; the container's name must be free."""
        self.project.compose("run", "--detach", "--no-TTY", "--no-deps", "--name", self.name, "cli", *self.words)

    def said(self) -> str:
        """All its output so far."""
        found = self.project.engine.run("logs", self.name)
        return found.stdout + found.stderr

    def reaches(self, line: str) -> bool:
        """Whether it has said something; fails where it ended before."""
        lines = self.said()
        assert self.project.engine.inspect(self.name)["State"]["Running"], lines
        return line in lines

    def finish(self, timeout_s: float = 240) -> str:
        """All its output, once it has ended, which must be well."""
        assert self.project.engine("wait", self.name, timeout_s=timeout_s).strip() == "0", self.said()
        return self.said()

    def remove(self) -> None:
        """Removes the container, whatever it does."""
        self.project.engine.run("rm", "--force", self.name)


def wait_for(condition: Callable[[], object], what: str, timeout_s: float = WAIT_S) -> None:
    """Waits for a condition, or fails saying what was waited for."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout_s:.0f} s for {what}"
        time.sleep(0.1)


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on now: for servers that cannot be asked which one they took."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _run(
    command: list[str], timeout_s: float = 60, environment: dict[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, env=environment, cwd=ROOT)
    except FileNotFoundError as error:
        return subprocess.CompletedProcess(command, 127, "", str(error))
