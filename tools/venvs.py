"""Virtual environments for programs whose pins clash with ours. Kept between runs below `.bakeoff/venvs`."""

import fcntl
import hashlib
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
TRITONCLIENT = ("tritonclient[grpc]==2.73.*",)
PERF_ANALYZER = ("tritonclient[grpc]==2.47.*", "nvidia-cuda-runtime-cu12==12.*")
MLSERVER = ("mlserver==1.7.1", "onnxruntime==1.23.*")
INSTALL_TIMEOUT_S = 240


class CannotInstallError(Exception):
    """pip could not install what was asked for; the message says what it said."""


def python_with(*requirements: str, timeout_s: float = INSTALL_TIMEOUT_S) -> Path:
    """The interpreter of an environment that has `requirements`. Raises CannotInstallError."""
    home = Path(os.environ.get("BAKEOFF_TEST_VENVS") or ROOT / ".bakeoff/venvs")
    home.mkdir(parents=True, exist_ok=True)
    key = hashlib.sha256(repr((sys.version_info[:2], requirements)).encode()).hexdigest()[:12]
    folder = home / f"test-{key}"
    with (home / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            _install(folder, requirements, timeout_s)
            (folder / "complete").touch()
    return folder / "bin/python"


def _install(folder: Path, requirements: tuple[str, ...], timeout_s: float) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
    command = [str(folder / "bin/python"), "-m", "pip", "install", "--quiet", *requirements]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s)
    except subprocess.TimeoutExpired as error:
        raise CannotInstallError(
            f"pip took more than {timeout_s:.0f} s to install {', '.join(requirements)}"
        ) from error
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1]
        raise CannotInstallError(f"pip cannot install {', '.join(requirements)}: {last}")
