"""`bakeoff tune` and the server that uses what it found."""

import json
import os
import subprocess
import sys
import time

import pytest

from services.client.inference import InferenceClient
from tests.system.serving_process import publish, serving
from tests.unit.serving import published

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


@pytest.mark.parametrize("transport", ["grpcio", "envoy"])
def test_a_model_that_was_never_tuned_is_tuned_in_the_background_without_a_failed_request(tmp_path, transport):
    publish(tmp_path / "models", "linear")
    flags = ("--cache", str(tmp_path / "cache"), "--tune-s", "1", "--transport", transport)
    answered, images = 0, published.images(2)
    with (
        serving(tmp_path, tmp_path / "models", *flags) as server,
        InferenceClient(server.target, attempts=1) as client,
    ):
        deadline = time.monotonic() + 60
        while ", tuned" not in (log := server.log.read_text()):
            assert time.monotonic() < deadline, log
            client.predict("linear", images)
            answered += 1
            # The measurement yields to everything else (nice 19): a loop without a pause would starve it.
            time.sleep(0.02)
        client.predict("linear", images)
        assert server.stop() == 0
    (kept,) = (tmp_path / "cache/tuning").glob("*.json")
    choice = json.loads(kept.read_bytes())["choice"]
    assert f"{choice['instances']} × {choice['threads']} threads, batches up to {choice['max_batch']}, tuned" in log
    assert answered > 10


def test_what_cannot_be_tuned_is_served_as_it_is_and_the_reason_is_logged_once(tmp_path):
    publish(tmp_path / "models", "linear")
    (tmp_path / "cache").write_text("no folder")
    with serving(tmp_path, tmp_path / "models", "--cache", str(tmp_path / "cache"), "--tune-s", "1") as server:
        deadline = time.monotonic() + 60
        while "model linear is not tuned: " not in server.log.read_text():
            assert time.monotonic() < deadline, server.log.read_text()
            time.sleep(0.1)
        with InferenceClient(server.target) as client:
            assert client.predict("linear", published.images(1)).probabilities.shape[0] == 1
        time.sleep(1.5)
        assert server.log.read_text().count("is not tuned") == 1
