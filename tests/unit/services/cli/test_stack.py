"""Starting services: what was begun can always be found again."""

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import psutil
import pytest

from services.cli import stack
from services.cli.context import Home
from services.client.directory import Started


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_between_a_start_and_its_record_comes_after_the_record(
    number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[subprocess.Popen[bytes]] = []
    popen = subprocess.Popen

    def interrupted(_command: list[str], **kwargs: Any) -> subprocess.Popen[bytes]:
        started.append(popen(["sleep", "60"], **kwargs))
        os.kill(os.getpid(), number)
        return started[-1]

    monkeypatch.setenv("BAKEOFF_HOME", str(tmp_path))
    monkeypatch.setattr(subprocess, "Popen", interrupted)
    before = signal.getsignal(number)
    signal.signal(number, _interrupt)
    mine = stack.Stack(Home(), lambda _text: None)
    try:
        with pytest.raises(KeyboardInterrupt), mine.with_services(["serving-onnxruntime"]):
            pytest.fail("an interrupted start goes no further")
        assert signal.getsignal(number) is _interrupt
    finally:
        ended = [process for process in started if not psutil.pid_exists(process.pid)]
        signal.signal(number, before)
        for process in started:
            process.kill()
    assert len(started) == 1
    assert ended == started
    assert mine.running() == []


def test_an_interruption_while_services_are_stopped_comes_after_the_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, kill = subprocess.Popen(["sleep", "60"]), os.kill

    def interrupted(pid: int, number: int) -> None:
        monkeypatch.setattr(os, "kill", kill)
        kill(os.getpid(), signal.SIGINT)
        kill(pid, number)

    monkeypatch.setenv("BAKEOFF_HOME", str(tmp_path))
    monkeypatch.setattr(stack.Stack, "missing", lambda *_: [])
    home = Home()
    log, started = str(tmp_path / "log"), psutil.Process(service.pid).create_time()
    home.directory.write(
        (Started(name="evaluator", pid=service.pid, create_time=started, target="", log=log, temporary=True),)
    )
    mine = stack.Stack(home, lambda _text: None)
    before = signal.signal(signal.SIGINT, _interrupt)
    try:
        with pytest.raises(KeyboardInterrupt), mine.with_services(["evaluator"]):
            monkeypatch.setattr(os, "kill", interrupted)
        assert (mine.running(), home.directory.started()) == ([], ())
    finally:
        signal.signal(signal.SIGINT, before)
        service.kill()
        service.wait()


def test_an_ignored_interruption_stays_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # As nohup does.
    try:
        with stack.interruptions_held_back():
            os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt
