"""Two commands in one home folder: services that one started end with the last command that uses them."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.cli.stack import is_alive
from services.client.control import is_serving
from services.client.directory import Directory, Started

SERVICE = "serving-onnxruntime"
COMMAND = """
import sys, time
from pathlib import Path
from services.cli.context import Home
from services.cli.stack import Stack

ready, end = map(Path, sys.argv[1:3])
with Stack(Home(), print).with_services(sys.argv[3:]):
    ready.touch()
    while not end.exists():
        time.sleep(0.05)
"""
WAIT_S = 120.0


class Command:
    """A command that has services running until it is told to end."""

    def __init__(self, home: Path, name: str, *services: str) -> None:
        self._ready, self._end = home / f"{name}.ready", home / f"{name}.end"
        environment = {key: value for key, value in os.environ.items() if not key.startswith("BAKEOFF_")}
        self.process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, str(self._ready), str(self._end), *services],
            env={**environment, "BAKEOFF_HOME": str(home)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def begins(self) -> None:
        until(lambda: self._ready.exists() or self.process.poll() is not None)
        assert self._ready.exists(), self.process.communicate()[0]

    def ends(self) -> str:
        """What it printed."""
        self._end.touch()
        told = self.process.communicate(timeout=WAIT_S)[0]
        assert self.process.returncode == 0, told
        return str(told)


def until(condition: object) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    for service in Directory(tmp_path).started():
        if is_alive(service):
            os.kill(service.pid, 9)


def only(home: Path) -> Started:
    (service,) = Directory(home).started()
    return service


def test_services_outlive_the_command_that_started_them_while_another_one_uses_them(home: Path) -> None:
    first = Command(home, "first", SERVICE)
    # While the first one's server still starts: it is neither started twice nor taken for hung.
    until(lambda: Directory(home).started())
    second = Command(home, "second", SERVICE)
    first.begins()
    second.begins()
    server = only(home)
    assert server.temporary
    assert "starting" in first.ends()
    assert is_serving(server.target)
    assert only(home) == server
    assert f"starting {SERVICE}" not in second.ends()
    assert not is_alive(server)
    assert Directory(home).started() == ()


def test_a_command_that_is_killed_leaves_its_services_to_the_next_one_which_ends_them(home: Path) -> None:
    killed = Command(home, "killed", SERVICE)
    killed.begins()
    server = only(home)
    killed.process.kill()
    killed.process.communicate()
    assert is_alive(server)
    following = Command(home, "following", SERVICE)
    following.begins()
    assert only(home) == server
    following.ends()
    assert not is_alive(server)


def test_what_bakeoff_up_finds_running_outlives_the_command_that_started_it(home: Path) -> None:
    command = Command(home, "command", SERVICE)
    command.begins()
    server = only(home)
    environment = {key: value for key, value in os.environ.items() if not key.startswith("BAKEOFF_")}
    subprocess.run(
        [sys.executable, "-m", "services.cli.main", "up", SERVICE],
        env={**environment, "BAKEOFF_HOME": str(home)},
        check=True,
        timeout=WAIT_S,
    )
    command.ends()
    assert is_serving(server.target)


def test_an_evaluator_that_was_started_anew_for_a_command_returns_to_its_address(home: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("BAKEOFF_")}
    subprocess.run(
        [sys.executable, "-m", "services.cli.main", "up", "evaluator", SERVICE, "--base-port", "0"],
        env={**environment, "BAKEOFF_HOME": str(home)},
        check=True,
        timeout=WAIT_S,
    )
    before = {service.name: service for service in Directory(home).started()}
    assert not any(service.temporary for service in before.values())
    command = Command(home, "command", "evaluator", SERVICE, "serving-tensorflow")
    command.begins()
    during = {service.name: service for service in Directory(home).started()}
    assert during[SERVICE] == before[SERVICE]
    assert during["evaluator"].pid != before["evaluator"].pid
    assert during["evaluator"].temporary
    command.ends()
    after = {service.name: service for service in Directory(home).started()}
    assert after.keys() == before.keys()
    assert after["evaluator"].target == before["evaluator"].target
    assert not after["evaluator"].temporary
    assert is_serving(after["evaluator"].target)


def test_an_evaluator_in_use_is_not_started_anew_for_a_server_it_does_not_know(home: Path) -> None:
    first = Command(home, "first", "evaluator", SERVICE)
    first.begins()
    before = Directory(home).started()
    second = Command(home, "second", "evaluator", SERVICE, "serving-tensorflow")
    told = second.process.communicate(timeout=WAIT_S)[0]
    assert second.process.returncode != 0
    assert "evaluator would have to be started anew" in told
    assert "set BAKEOFF_HOME to another one" in told
    assert Directory(home).started() == before
    assert all(is_serving(service.target) for service in before)
    first.ends()
    assert not any(map(is_alive, before))
