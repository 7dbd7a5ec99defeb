"""Compose's layer `s3` on a real engine: data, models and results pass through a bucket, not a shared volume.

moto's server stands in for SeaweedFS, whose image cannot be had everywhere. It keeps the bucket in memory.
"""

import json
import os
import sysconfig
from collections.abc import Iterator

import numpy as np
import pytest

from tests.system.containers import ROOT, Engine, Project, running, start_engine
from tests.system.stack import production

pytestmark = [pytest.mark.system, pytest.mark.timeout(900)]

SERVICES = ("trainer-pytorch", "evaluator", "serving-onnx", "production")
# The tests' own moto, in an image with the same Python.
OVERRIDE = f"""
services:
  s3:
    image: bakeoff/evaluator:${{BAKEOFF_TAG}}
    entrypoint: [python, -m, moto.server, -H, 0.0.0.0, -p, "8333"]
    user: "1000:1000"
    environment: {{PYTHONPATH: /site-packages}}
    volumes: ["{sysconfig.get_path("platlib")}:/site-packages:ro"]
    healthcheck:
      test: [CMD, python, -c, "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8333/moto-api/')"]
  trainer-pytorch: {{ports: !override ["127.0.0.1::7101"], environment: {{BAKEOFF_TRAINER_THREADS: "1"}}}}
  evaluator: {{ports: !override ["127.0.0.1::7105"]}}
  serving-onnx: {{ports: !override ["127.0.0.1::7111"]}}
  production: {{ports: !override ["127.0.0.1::7111"]}}
"""
OWN = """
name: mine
title: One network, one framework
description: An experiment in a folder of its user, through a bucket.
data:
  source: {kind: digits}
  image: {height: 8, width: 8, color: grey}
  split: {policy: stratified}
arms:
  matched: {architecture: digits-cnn, mode: matched, recipe: {epochs: 1, batch_size: 64}}
frameworks: [pytorch]
seeds: [0]
formats: {pytorch: [onnx]}
loadtest: {users: 2, warmup_s: 0, duration_s: 1}
"""
LISTED = "import json, s3fs; print(json.dumps(s3fs.S3FileSystem().find('bakeoff')))"
EMPTIED = """
import json, os, shutil
found = [os.path.join("/cache", name) for name in os.listdir("/cache")]
print(json.dumps(found))
[shutil.rmtree(path) for path in found]
"""
IMAGES = np.zeros((2, 8, 8, 1), np.uint8)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """The running stack, healthy, with an experiment in a folder of its user's."""
    engine = Engine(start_engine())
    tag = engine.build("trainer-pytorch", "evaluator", "serving-onnx-s3", "cli")
    folder = tmp_path_factory.mktemp("bucket")
    override, experiments = folder / "override.yaml", folder / "experiments"
    override.write_text(OVERRIDE)
    experiments.mkdir()
    (experiments / "mine.yaml").write_text(OWN)
    files = (ROOT / "deploy/compose.yaml", ROOT / "deploy/compose.s3.yaml", override)
    variables = {"BAKEOFF_EXPERIMENTS": str(experiments)}
    project = Project(engine, f"bakeoff-bucket-{os.getpid()}", files, tag, variables)
    with running(project, SERVICES):
        yield project


@pytest.fixture(scope="module")
def report(project: Project) -> str:
    """What an experiment of the user's own said."""
    return project.bakeoff("run", "/experiments/mine.yaml")


def in_the_bucket(project: Project) -> list[str]:
    """The keys of all objects, seen from the evaluator."""
    found = project.engine("exec", project.container("evaluator"), "python", "-c", LISTED)
    return [str(key).removeprefix("bakeoff/") for key in json.loads(found)]


def test_an_experiment_of_ones_own_goes_through_the_bucket(project: Project, report: str) -> None:
    assert "report: /home/bakeoff/reports/mine/report.html" in report
    keys = in_the_bucket(project)
    assert "models/mine-matched-pytorch-s0-onnx/1/artifact.json" in keys
    for kind in ("train", "evaluate", "loadtest"):
        assert [key for key in keys if key.startswith(f"store/results/{kind}-")], kind
    assert [key for key in keys if key.startswith("store/prepared/")]


def test_what_is_promoted_in_the_bucket_is_served_also_by_a_server_that_starts_again(
    project: Project, report: str
) -> None:
    project.bakeoff("promote", "mine-matched-pytorch-s0-onnx", "--as", "mine")
    with production(project, "mine") as client:
        before = client.predict("mine", IMAGES).probabilities
    server = project.container("production")
    copied = json.loads(project.engine("exec", server, "python", "-c", EMPTIED))
    assert copied, "it copies what it loads into its cache"
    project.engine("kill", server)
    project.engine("start", server)
    with production(project, "mine") as client:
        assert np.array_equal(client.predict("mine", IMAGES).probabilities, before)


def test_nothing_mounts_the_store(project: Project, report: str) -> None:
    volumes = project.engine("volume", "ls", "--format", "{{.Name}}").split()
    assert f"{project.name}_home" in volumes
    assert f"{project.name}_store" not in volumes
    for service in SERVICES:
        mounts = project.engine.inspect(project.container(service))["Mounts"]
        assert not [mount for mount in mounts if mount["Destination"] == "/data" and mount["Type"] == "volume"], service
