"""Virtual environments for clients whose pins clash with ours. Kept between runs."""

import fcntl
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TRITONCLIENT = ("tritonclient[grpc]==2.73.*",)
PERF_ANALYZER = ("tritonclient[grpc]==2.47.*", "nvidia-cuda-runtime-cu12==12.*")
MLSERVER = ("mlserver==1.7.1", "onnxruntime==1.23.*")
INSTALL_TIMEOUT_S = 240


def python_with(*requirements: str) -> Path:
    """The interpreter of an environment that has `requirements`; skips the test when they cannot be installed."""
    home = Path(os.environ.get("BAKEOFF_TEST_VENVS") or ROOT / ".bakeoff/venvs")
    home.mkdir(parents=True, exist_ok=True)
    key = hashlib.sha256(repr((sys.version_info[:2], requirements)).encode()).hexdigest()[:12]
    folder = home / f"test-{key}"
    with (home / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            _install(folder, requirements)
            (folder / "complete").touch()
    return folder / "bin/python"


def _install(folder: Path, requirements: tuple[str, ...]) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
    command = [str(folder / "bin/python"), "-m", "pip", "install", "--quiet", *requirements]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        pytest.skip(f"pip took more than {INSTALL_TIMEOUT_S} s to install {', '.join(requirements)}")
    if done.returncode:
        pytest.skip(f"pip cannot install {', '.join(requirements)}: {done.stderr.strip().splitlines()[-1]}")
