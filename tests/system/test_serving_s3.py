"""A model repository in a real S3 server: first version, next version by polling, damage, explicit control."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import boto3
import numpy as np
import pytest
from moto.server import ThreadedMotoServer

from services.client.inference import InferenceClient
from tests.system.serving_process import launched, publish, serving
from tests.unit.serving import published

pytestmark = pytest.mark.system
MODEL = "linear"


class Bucket:
    def __init__(self, endpoint: str, name: str) -> None:
        # All servers of a process have the same content, so that each test needs a name of its own.
        self._client, self._name, self.url = boto3.client("s3", endpoint_url=endpoint), name, f"s3://{name}/models"
        self._client.create_bucket(Bucket=name)

    def upload(self, folder: Path) -> None:
        """As `aws s3 sync` would, manifests last."""
        for path in sorted(folder.rglob("*"), key=lambda path: path.name == "artifact.json"):
            if path.is_file():
                key = f"models/{path.relative_to(folder).as_posix()}"
                self._client.put_object(Bucket=self._name, Key=key, Body=path.read_bytes())

    def overwrite(self, key: str, content: bytes) -> None:
        self._client.put_object(Bucket=self._name, Key=key, Body=content)


@pytest.fixture
def bucket(monkeypatch, tmp_path) -> Iterator[Bucket]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    yield Bucket(endpoint, tmp_path.name.replace("_", "-"))
    server.stop()


def flags(tmp_path: Path, *more: str) -> tuple[str, ...]:
    return ("--cache", str(tmp_path / "cache"), *more)


def test_a_server_follows_a_repository_in_s3(tmp_path, bucket):
    images = published.images(3)
    publish(tmp_path / "models", MODEL, seed=0)
    bucket.upload(tmp_path / "models")
    with serving(tmp_path, bucket.url, *flags(tmp_path, "--poll-s", "0.2")) as server:
        with InferenceClient(server.target) as client:

            def check(version: int) -> None:
                answer = client.predict(MODEL, images)
                wanted = published.linear(published.weights(version - 1))(images)
                np.testing.assert_allclose(answer.probabilities, wanted, atol=1e-6)

            check(1)
            publish(tmp_path / "models", MODEL, seed=1)
            bucket.upload(tmp_path / "models")
            last = time.monotonic() + 30
            while not client.model_ready(MODEL, 2):
                assert time.monotonic() < last, server.log.read_text()
                time.sleep(0.1)
            check(2)
        assert server.stop() == 0


def test_a_damaged_file_in_s3_is_not_served(tmp_path, bucket):
    publish(tmp_path / "models", MODEL)
    bucket.upload(tmp_path / "models")
    bucket.overwrite(f"models/{MODEL}/1/model.onnx", b"swapped")
    more = ("--runtime", "onnxruntime", "--repository", bucket.url, "--model-control", "explicit")
    with launched(tmp_path, *more, "--load-model", MODEL, *flags(tmp_path)) as (process, _, log):
        assert process.wait(60) == 1
    assert "the file was changed or damaged" in log.read_text()
    assert "Traceback" not in log.read_text()
