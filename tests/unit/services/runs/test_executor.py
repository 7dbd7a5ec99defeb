"""Workers forked from a process that has imported what they need."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from services.runs.executor import ForkServerExecutor

SCRIPT = "tests.unit.services.runs.worker_script"
SERVICE = f"""
import sys, time
from pathlib import Path
from services.runs.executor import ForkServerExecutor
folder = Path(sys.argv[1])
ForkServerExecutor(["{SCRIPT}"]).start(["{SCRIPT}", str(folder)], folder / "log")
if sys.argv[2] == "forget":
    raise SystemExit
time.sleep(60)
"""
DEPRIVED = f"""
import sys, time
from pathlib import Path
from services.runs.executor import ForkServerExecutor
folder = Path(sys.argv[1])
executor = ForkServerExecutor(["killed_at_import"])
handle = executor.start(["{SCRIPT}", str(folder)], folder / "log")
while executor.poll(handle) is None:
    time.sleep(0.02)
print(type(handle).__name__, executor.poll(handle))
"""


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


def run_folder(path: Path, do: str) -> Path:
    path.mkdir()
    (path / "spec.json").write_text(f'{{"do": "{do}"}}')
    return path


def status(executor: ForkServerExecutor, folder: Path) -> int | None:
    handle = executor.start([SCRIPT, str(folder)], folder / "log")
    until(lambda: executor.poll(handle) is not None)
    return executor.poll(handle)


def workers(folder: Path) -> list[psutil.Process]:
    ours = f"-m {SCRIPT} {folder}"
    return [process for process in psutil.process_iter(["cmdline"]) if ours in " ".join(process.info["cmdline"] or [])]


def test_a_worker_shows_its_module_and_run_in_the_list_of_processes(tmp_path: Path) -> None:
    executor, folder = ForkServerExecutor([SCRIPT]), run_folder(tmp_path / "one", "sleep")
    handle = executor.start([SCRIPT, str(folder)], folder / "log")
    until((folder / "attempts").exists)
    (worker,) = workers(folder)
    assert os.getpgid(worker.pid) == worker.pid
    (folder / "go").touch()
    until(lambda: executor.poll(handle) == 0)


def test_a_fork_server_that_was_killed_is_started_again(tmp_path: Path) -> None:
    executor = ForkServerExecutor([SCRIPT])
    assert status(executor, run_folder(tmp_path / "one", "work")) == 0
    (server,) = (one for one in psutil.Process().children() if "multiprocessing.forkserver" in " ".join(one.cmdline()))
    server.kill()
    until(lambda: server.status() == psutil.STATUS_ZOMBIE)
    assert status(executor, run_folder(tmp_path / "two", "work")) == 0


def test_a_worker_whose_fork_server_is_killed_is_lost_and_leaves_nothing(tmp_path: Path) -> None:
    executor, folder = ForkServerExecutor([SCRIPT]), run_folder(tmp_path / "one", "ignore signals")
    handle = executor.start([SCRIPT, str(folder)], folder / "log")
    until((folder / "attempts").exists)
    (server,) = (one for one in psutil.Process().children() if "multiprocessing.forkserver" in " ".join(one.cmdline()))
    server.kill()
    until(lambda: executor.poll(handle) is not None)
    assert executor.poll(handle) == -signal.SIGKILL
    until(lambda: not workers(folder))


def test_without_a_process_to_fork_from_a_worker_is_a_new_interpreter(tmp_path: Path) -> None:
    """As where the imports alone take more memory than there is."""
    (tmp_path / "killed_at_import.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n")
    folder = run_folder(tmp_path / "one", "work")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), os.getcwd()])}
    script = [sys.executable, "-c", DEPRIVED, str(folder)]
    deprived = subprocess.run(script, timeout=30, env=environment, capture_output=True, text=True)
    assert deprived.stdout == "ChildProcess 0\n", deprived.stderr
    assert "starting a new interpreter" in deprived.stderr


def test_workers_and_the_process_they_come_from_end_with_a_killed_service(tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "one", "ignore signals")
    service = subprocess.Popen([sys.executable, "-c", SERVICE, str(folder), "wait"])
    until((folder / "attempts").exists)
    below = psutil.Process(service.pid).children(recursive=True)
    assert workers(folder)
    service.kill()
    service.wait()
    _, alive = psutil.wait_procs(below, 10)
    assert not alive


def test_a_service_that_ends_without_stopping_its_workers_does_not_wait_for_them(tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "one", "ignore signals")
    assert subprocess.run([sys.executable, "-c", SERVICE, str(folder), "forget"], timeout=30).returncode == 0
    until(lambda: not workers(folder))
