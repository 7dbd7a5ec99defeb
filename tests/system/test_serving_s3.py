"""A model repository in a real S3 server: publishing, polling, promotion, damage, accounts that may not."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import boto3
import fsspec
import numpy as np
import pytest
from inference import grpc_service_pb2 as pb
from moto.server import ThreadedMotoServer

from core.errors import NotFoundError, NotReadyError, WrongStateError
from core.mirror import open_repository
from core.schemas.data import DigitsSource, ImageSpec
from core.schemas.results import PrepareResult
from services.client.inference import InferenceClient
from tests.system.bakeoff_command import Bakeoff
from tests.system.serving_process import ServingProcess, launched, publish, serving, wait_until
from tests.system.trainer_process import prepare, trainer, training
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

    def names(self) -> list[str]:
        """Of all objects."""
        return [found["Key"] for found in self._client.list_objects_v2(Bucket=self._name).get("Contents", ())]

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
    # Each test has another server at its own address.
    fsspec.get_filesystem_class("s3").clear_instance_cache()


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


def check(client: InferenceClient, seed: int, model: str = MODEL) -> None:
    images = published.images(3)
    wanted = published.linear(published.weights(seed))(images)
    np.testing.assert_allclose(client.predict(model, images).probabilities, wanted, atol=1e-6)


def until_ready(client: InferenceClient, server: ServingProcess, version: int, model: str = MODEL) -> None:
    last = time.monotonic() + 30
    while not client.model_ready(model, version):
        assert time.monotonic() < last, server.log.read_text()
        time.sleep(0.1)


def test_a_server_waits_at_an_empty_bucket_for_what_is_published_there(tmp_path, bucket):
    with serving(tmp_path, bucket.url, *flags(tmp_path, "--poll-s", "0.2")) as server:
        assert f"model repository {bucket.url} is not there yet; waiting" in server.log.read_text()
        with InferenceClient(server.target) as client:
            assert not server.stub.RepositoryIndex(pb.RepositoryIndexRequest(), timeout=10).models
            for seed in range(2):
                publish(open_repository(bucket.url, tmp_path / "publisher"), MODEL, seed)
                until_ready(client, server, seed + 1)
                check(client, seed)
        assert server.stop() == 0
    assert "Traceback" not in server.log.read_text()


def test_a_server_that_is_told_what_to_load_finds_it_once_it_is_published(tmp_path, bucket):
    told = flags(tmp_path, "--model-control", "explicit")
    with serving(tmp_path, bucket.url, *told) as server, InferenceClient(server.target) as client:
        with pytest.raises(NotFoundError, match=f"no model '{MODEL}' in {bucket.url}"):
            client.load_model(MODEL)
        publish(open_repository(bucket.url, tmp_path / "publisher"), MODEL)
        client.load_model(MODEL)
        check(client, 0)


def test_an_empty_bucket_that_nothing_is_awaited_in_ends_the_start(tmp_path, bucket):
    more = ("--runtime", "onnxruntime", "--repository", bucket.url, "--model-control", "none")
    with launched(tmp_path, *more, *flags(tmp_path)) as (process, _, log):
        assert process.wait(60) == 1
    assert f"model repository {bucket.url} is empty; publish a model there" in log.read_text()
    assert "Traceback" not in log.read_text()


def test_processes_that_publish_at_the_same_time_get_a_version_each(tmp_path, bucket):
    program = (
        "import sys; from pathlib import Path; from core.mirror import open_repository; "
        "from tests.system.serving_process import publish; "
        "repository = open_repository(sys.argv[1], Path(sys.argv[2])); input(); "
        "[publish(repository, 'm', int(sys.argv[3])) for _ in range(3)]"
    )
    arguments = [(bucket.url, str(tmp_path / f"cache-{seed}"), str(seed)) for seed in range(3)]
    publishers = [
        subprocess.Popen([sys.executable, "-c", program, *given], stdin=subprocess.PIPE) for given in arguments
    ]
    for publisher in publishers:
        publisher.stdin.write(b"\n")
        publisher.stdin.close()
    assert [publisher.wait(120) for publisher in publishers] == [0, 0, 0]
    reader = open_repository(bucket.url, tmp_path / "reader")
    reader.refresh()
    assert reader.versions("m") == [*range(1, 10)]
    digests = [reader.verify("m", version).digest for version in reader.versions("m")]
    assert sorted(digests.count(digest) for digest in digests) == [3] * 9


def test_a_trainer_publishes_into_s3_and_the_command_promotes_there(tmp_path, bucket, monkeypatch):
    store, production = bucket.url.replace("/models", "/store"), bucket.url.replace("/models", "/production")
    with trainer(tmp_path, store=store, repository=bucket.url) as client:
        run = prepare(client, "digits", DigitsSource(), ImageSpec(height=8, width=8, color="grey"))
        spec = training(PrepareResult.model_validate_json(run.result_json).fingerprint, epochs=1)
        client.create("train-1", spec)
        trained = client.finish("train-1", lambda event: None)
        assert not trained.error, trained.error
    name = spec.model_name("onnx")
    assert f"models/{name}/1/artifact.json" in bucket.names()
    assert not (tmp_path / "models").exists()

    for variable, place in (("REPOSITORY", bucket.url), ("PRODUCTION", production), ("STORE", store)):
        monkeypatch.setenv(f"BAKEOFF_{variable}", place)
    bakeoff = Bakeoff(tmp_path / "home")
    (listed,) = bakeoff.json("models")
    assert (listed["model"], listed["version"]) == (name, 1)
    publish(open_repository(bucket.url, tmp_path / "publisher"), "candidate", 1)

    def do(*arguments: str) -> None:
        ended = bakeoff.run(*arguments)
        assert ended.code == 0, ended.err
        assert production in ended.out

    polls = flags(tmp_path, "--poll-s", "0.2")
    with serving(tmp_path / "home", production, *polls) as server, InferenceClient(server.target) as client:
        do("promote", name, "--as", "digits")
        until_ready(client, server, 1, "digits")
        do("promote", "candidate", "--as", "digits", "--force")
        until_ready(client, server, 2, "digits")
        check(client, 1, "digits")
        do("rollback", "digits", "--force")
        until_ready(client, server, 3, "digits")
        wait_until(lambda: not client.model_ready("digits", 2))
    origins = [row["origin"] for row in bakeoff.json("models", "--production")]
    assert origins == [f"promote {name} 1", "promote candidate 1", "rollback digits 1"]


def test_a_model_in_s3_is_tuned(tmp_path, bucket, monkeypatch):
    publish(open_repository(bucket.url, tmp_path / "publisher"), MODEL)
    monkeypatch.setenv("BAKEOFF_REPOSITORY", bucket.url)
    (tuned,) = Bakeoff(tmp_path / "home").json("tune", MODEL, "--seconds", "1")
    assert tuned["model"] == MODEL


def test_who_may_not_or_cannot_reach_s3_is_told_so(tmp_path, bucket, monkeypatch):
    missing = "s3://no-such-bucket/models"
    for act in (lambda there: there.refresh(), lambda there: publish(there, "m")):
        with pytest.raises(NotFoundError, match="bucket does not exist; create the bucket"):
            act(open_repository(missing, tmp_path))
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(variable)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    with pytest.raises(WrongStateError, match="Unable to locate credentials; for S3 set AWS_ACCESS_KEY_ID"):
        publish(open_repository(bucket.url, tmp_path), "m")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    with pytest.raises(NotReadyError, match="Could not connect to the endpoint URL"):
        open_repository(bucket.url, tmp_path).refresh()
