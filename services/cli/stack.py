"""Starts and stops the services of this machine as processes on one address."""

import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import IO

import psutil

from core import cpu, files
from core.errors import BakeoffError, NotReadyError, WrongStateError
from services.cli.context import Home
from services.client.control import is_serving
from services.client.directory import METRICS_OFFSET, SERVICES, Started, variable

START_TIMEOUT_S = 90.0
STOP_TIMEOUT_S = 12.0
POLL_S = 0.1
SCORINGS = 4
"""Most models scored at a time: each takes a process of some 300 MB."""
Say = Callable[[str], None]


class Stack:
    """The services below one home folder."""

    def __init__(self, home: Home, say: Say) -> None:
        self._home, self._say = home, say
        self._directory = home.directory

    @property
    def _run(self) -> Path:
        folder = self._home.home / "run"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def running(self) -> list[Started]:
        """What was started from this home folder and is still alive."""
        return [service for service in self._directory.started() if is_alive(service)]

    def missing(self, names: Sequence[str]) -> list[str]:
        """Services that nobody named in the environment and that do not run from this home folder.

        A service of another home on the default port is not ours: it has another store.
        """
        mine = {service.name for service in self.running()}
        named = {name for name in SERVICES if variable(name) in os.environ}
        absent = [name for name in names if name not in mine | named or not is_serving(self._directory.target(name))]
        # The evaluator knows the servers by the addresses they had when it started.
        if any(name.startswith("serving-") for name in absent) and "evaluator" in names and "evaluator" not in named:
            absent = list(dict.fromkeys([*absent, "evaluator"]))
        return absent

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Keeps others from starting or stopping services of this home folder meanwhile; waits for one that does."""
        path = self._run / ".changing"
        try:
            hold = files.lock(path, busy="busy")
        except WrongStateError:
            self._say("waiting for another command, which starts or stops services")
            hold = files.lock(path, busy=None)
        with hold:
            yield

    def start(
        self,
        names: Sequence[str],
        base_port: int | None,
        temporary: bool = False,
        returns: Mapping[str, str] = MappingProxyType({}),
    ) -> list[Started]:
        """Says which services it starts, and waits until each is SERVING. Inside of `changing`.

        Args:
            base_port: None for the default ports, 0 for free ones, otherwise the port of the first service.
            temporary: they end with the commands that use them.
            returns: addresses by name of those that have another one afterwards.

        Raises:
            NotReadyError: one that does not answer has an address in the environment: it is not ours to start.
            BakeoffError: one ended or did not answer in time; those already started stay and can be stopped.
        """
        for name in names:
            if fixed := os.environ.get(variable(name)):
                raise NotReadyError(
                    f"{name} does not answer at {fixed} ({variable(name)}); start it there or unset the variable"
                )
        self._say(f"starting {', '.join(names)}")
        # What is to start but still runs, hung or with old addresses, is in the way.
        self.stop([service for service in self.running() if service.name in names])
        alive = self.running()
        started: list[Started] = []
        # The evaluator needs the addresses of the servers, so it comes last.
        for name in sorted(names, key=lambda name: name == "evaluator"):
            command = self._command(name)  # Waits for the servers; interruptions end that.
            marks = {"temporary": temporary, "returns_to": returns.get(name, "")}
            with interruptions_held_back():  # A process between its start and its record would be nobody's to stop.
                started.append(self._launch(name, command, base_port).model_copy(update=marks))
                self._directory.write((*alive, *started))
        for index, service in enumerate(started):
            started[index] = self._wait(service)
            self._directory.write((*alive, *started))
        return started

    def keep(self, names: Sequence[str]) -> None:
        """Makes services that were started for a command outlive it. Inside of `changing`."""
        self._directory.write(
            tuple(
                s.model_copy(update={"temporary": s.temporary and s.name not in names})
                for s in self._directory.started()
            )
        )

    def stop(self, services: Sequence[Started] | None = None) -> list[Started]:
        """Stops services, by default all; SIGTERM lets them drain, SIGKILL ends what does not. Inside of `changing`."""
        chosen = self.running() if services is None else [service for service in services if is_alive(service)]
        for service in chosen:
            with suppress(ProcessLookupError):
                os.kill(service.pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_TIMEOUT_S
        for service in chosen:
            while is_alive(service) and time.monotonic() < deadline:
                time.sleep(POLL_S)
            with suppress(ProcessLookupError):
                if is_alive(service):
                    os.kill(service.pid, signal.SIGKILL)
        gone = {service.pid for service in chosen}
        self._directory.write(tuple(s for s in self._directory.started() if s.pid not in gone and is_alive(s)))
        return chosen

    @contextmanager
    def with_services(self, names: Sequence[str]) -> Iterator[None]:
        """Has services running during a block, at free ports where they have to be started.

        Those end with the last command that has services of this home folder running. Services that had to be
        started anew, such as an evaluator that does not know a new server's address, get their own address back then.

        Raises:
            NotReadyError: one would have to be started anew while another command uses it, or has an address in the
                environment and does not answer.
            BakeoffError: one did not start.
        """
        if all(variable(name) in os.environ for name in names):  # None of this home folder, which may be read-only.
            if missing := self.missing(names):
                self.start(missing, base_port=0)
            yield
            return
        users = (self._run / ".users").open("a")
        try:
            with self.changing():
                fcntl.flock(users, fcntl.LOCK_SH)
                if missing := self.missing(names):
                    self._start_temporarily(missing, users)
            yield
        finally:
            with users, self.changing():
                if _is_only_user(users):
                    self._end_temporary()

    def _start_temporarily(self, names: Sequence[str], users: IO[str]) -> None:
        replaced = [service for service in self.running() if service.name in names]
        if replaced:
            alone = _is_only_user(users)
            fcntl.flock(users, fcntl.LOCK_SH)
            if not alone:
                told = ", ".join(service.name for service in replaced)
                raise NotReadyError(
                    f"{told} would have to be started anew, to know all servers, while another command uses this home "
                    "folder; wait for its end, or set BAKEOFF_HOME to another one"
                )
        returns = {service.name: service.returns_to if service.temporary else service.target for service in replaced}
        try:
            self.start(names, 0, temporary=True, returns=returns)
        except BaseException:
            # The end of the command returns those that are recorded.
            recorded = {service.name for service in self._directory.started()}
            self._return({name: address for name, address in returns.items() if name not in recorded})
            raise

    def _end_temporary(self) -> None:
        temporary = [service for service in self._directory.started() if service.temporary]
        try:
            with interruptions_held_back():  # One that broke this off would leave services to nobody.
                self.stop(temporary)
        finally:
            self._return({service.name: service.returns_to for service in temporary})

    def _return(self, addresses: Mapping[str, str]) -> None:
        """Starts services again where they were before; those without an address were nowhere."""
        for name, address in addresses.items():
            if address:
                port = int(address.rpartition(":")[2])
                self.start([name], port - SERVICES[name] + min(SERVICES.values()))

    def _launch(self, name: str, own: Sequence[str], base_port: int | None) -> Started:
        home = self._home.home
        address, log = home / "run" / f"{name}.address", home / "logs" / f"{name}.log"
        for folder in (address.parent, log.parent):
            folder.mkdir(parents=True, exist_ok=True)
        address.unlink(missing_ok=True)
        port = self._port(name, base_port)
        metrics = port + METRICS_OFFSET if port else 0
        command = [sys.executable, "-m", *own, "--host", self._home.host, "--port", str(port)]
        command += ["--metrics-port", str(metrics), "--address-file", str(address)]
        with log.open("ab") as output:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )
        # Kept without waiting on it: the service outlives this command.
        created = psutil.Process(process.pid).create_time()
        return Started(
            name=name, pid=process.pid, create_time=created, target=f"{self._home.host}:{port}", log=str(log)
        )

    def _port(self, name: str, base_port: int | None) -> int:
        if base_port == 0:
            return 0
        offset = 0 if base_port is None else base_port - min(SERVICES.values())
        return SERVICES[name] + offset

    def _wait(self, service: Started) -> Started:
        address = self._home.home / "run" / f"{service.name}.address"
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            if not is_alive(service):
                raise BakeoffError(f"{service.name} did not start: {last_line(Path(service.log))} (see {service.log})")
            if address.is_file() and is_serving(target := address.read_text().strip()):
                return service.model_copy(update={"target": target, "metrics": self._metrics(service)})
            time.sleep(POLL_S)
        raise BakeoffError(f"{service.name} did not answer within {START_TIMEOUT_S:.0f} s (see {service.log})")

    def _metrics(self, service: Started) -> str | None:
        """The address of the metrics page, as the service logged it."""
        lines = Path(service.log).read_text(errors="replace").splitlines()
        found = [line.rsplit(" ", 1)[-1] for line in lines if "metrics on http" in line]
        return found[-1] if found else None

    def _command(self, name: str) -> list[str]:
        home, (role, _, kind) = self._home, name.partition("-")
        shared = ["--store", home.store_url, "--cache", str(home.cache)]
        if role == "trainer":
            own = ["--framework", kind, "--runs", str(home.home / "runs" / name), "--repository", home.models]
            return ["services.trainer", *own, *shared]
        if role == "serving":
            # Explicit control: an experiment decides which model is in memory. This stack's own repository is trusted.
            own = [
                "--runtime",
                kind,
                "--repository",
                home.models,
                "--model-control",
                "explicit",
                "--trust-repository",
                "--cache",
                str(home.cache / "serving"),
            ]
            return ["services.serving", *own]
        targets = []
        for service in (service for service in SERVICES if service.startswith("serving-")):
            targets += [f"--{service}", self._serving_target(service)]
        own = ["--runs", str(home.home / "runs" / name), "--slots", str(min(SCORINGS, cpu.threads()))]
        return ["services.evaluator", *own, *shared, *targets]

    def _serving_target(self, name: str) -> str:
        mine = next((service for service in self._directory.started() if service.name == name), None)
        if mine is None or not is_alive(mine):
            return self._directory.target(name)
        return self._wait(mine).target


def _is_only_user(users: IO[str]) -> bool:
    """Whether nobody else holds the lock that this file may share; ours is another one, or none, then. Inside of
    `changing`, so that nobody comes meanwhile."""
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def interruptions_held_back() -> Iterator[None]:
    """SIGINT, SIGTERM and SIGHUP that arrive during the block are handled at its end, once each.

    Handlers are exchanged, not masked: processes started in the block would inherit a mask. Only Python's main thread
    handles signals; in others this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    arrived: dict[int, None] = {}
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    heard = {number: handler for number, handler in handlers.items() if handler not in (signal.SIG_IGN, None)}
    for number in heard:
        signal.signal(number, lambda number, _: arrived.setdefault(number))
    try:
        yield
    finally:
        for number, handler in heard.items():
            signal.signal(number, handler)
        for late in arrived:
            signal.raise_signal(late)


def is_alive(service: Started) -> bool:
    """True while the very process lives that was started, and not a later one with its number."""
    try:
        process = psutil.Process(service.pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            process.wait(0)
            return False
        return bool(abs(process.create_time() - service.create_time) < 1.0)
    except (psutil.NoSuchProcess, psutil.TimeoutExpired):
        return False


def last_line(log: Path) -> str:
    """The last thing a process printed."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "no output"
