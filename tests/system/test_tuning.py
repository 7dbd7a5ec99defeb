"""`bakeoff tune` and the server that uses what it found."""

import json
import os
import subprocess
import sys

import pytest

from tests.system.serving_process import publish, serving

pytestmark = pytest.mark.system


def test_a_server_uses_what_bakeoff_tune_chose(tmp_path):
    publish(tmp_path / "home/models", "linear")
    command = [sys.executable, "-m", "services.cli.main", "tune", "linear", "--seconds", "1", "--format", "json"]
    environment = {**os.environ, "BAKEOFF_HOME": str(tmp_path / "home")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)
    assert row["model"] == "linear"
    assert row["capacity"] > 0
    with serving(tmp_path, tmp_path / "home/models", "--cache", str(tmp_path / "home/cache/serving")) as server:
        log = server.log.read_text()
    assert f"{row['instances']} × {row['threads']} threads, batches up to {row['max_batch']}, tuned" in log
