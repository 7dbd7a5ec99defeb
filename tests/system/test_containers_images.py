"""Every image on a real engine: what is in it, who it runs as, and what it does without."""

import json
import os
from pathlib import Path

import pytest

from deploy.images import IMAGES, code_tag
from tests.system.containers import ROOT, Engine, start_engine, wait_for

pytestmark = [pytest.mark.system, pytest.mark.timeout(900)]

FRAMEWORKS = (
    *("tensorflow", "keras", "tf2onnx", "torch", "torchvision", "fastai", "onnx", "onnxscript", "onnxruntime"),
    *("openvino", "sklearn", "datasets", "plotly", "locust", "mlflow", "typer", "pyvoy"),
)
TRAINING = {"onnx", "onnxruntime", "sklearn", "datasets"}
HOLDS = {
    "serving-onnx": {"onnxruntime"},
    "serving-onnx-s3": {"onnxruntime"},
    "serving-openvino": {"openvino"},
    "serving-openvino-s3": {"openvino"},
    "evaluator": {"sklearn", "plotly"},
    "loadtest": {"locust"},
    "cli": {"typer", "locust"},
    "trainer-pytorch": TRAINING | {"torch", "torchvision", "onnxscript"},
    # Keras needs TensorFlow; the two are one family.
    "trainer-keras": TRAINING | {"keras", "tensorflow", "tf2onnx"},
}
"""Which of FRAMEWORKS an image may contain: its own extra and nothing else."""
HEAVY_HOLDS = {
    "tracking": {"mlflow", "sklearn"},
    "trainer-tensorflow": TRAINING | {"keras", "tensorflow", "tf2onnx"},
    # spaCy, which fastai needs, has a command line.
    "trainer-fastai": TRAINING | {"torch", "onnxscript", "torchvision", "fastai", "typer"},
    "serving-tensorflow": {"keras", "tensorflow"},
    "serving-pytorch": {"torch"},
    "serving-onnx-envoy": {"onnxruntime", "pyvoy"},
    "serving-openvino-envoy": {"openvino", "pyvoy"},
    "serving-onnx-envoy-s3": {"onnxruntime", "pyvoy"},
    "serving-tensorflow-s3": {"keras", "tensorflow"},
    "serving-pytorch-s3": {"torch"},
    "cli-tracking": {"typer", "locust", "mlflow", "sklearn"},
}
"""The same for images that take long to build: where they are built already, or with BAKEOFF_TEST_ALL_IMAGES=1."""
NO_SHELL = ("--volume", "/dev/null:/bin/sh:ro", "--volume", "/dev/null:/bin/bash:ro")
"""Nothing can be run by these names: the image's shells lie below."""
PROBE = """
import importlib.util, json, os, sys
found = [name for name in sys.argv[1].split(",") if importlib.util.find_spec(name)]
try:
    open("/opt/app/x", "w")
    written = True
except OSError:
    written = False
print(json.dumps({"found": found, "uid": os.getuid(), "written": written}))
"""


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(start_engine())


@pytest.fixture(params=[*HOLDS, *HEAVY_HOLDS])
def image(request: pytest.FixtureRequest, engine: Engine) -> tuple[str, str]:
    """Name in IMAGES and full name of a built image; its size was checked against its budget.

    A test of one image takes it as its parameter: the workflow selects an image's tests by it.
    """
    name = request.param
    wanted = name in HOLDS or os.environ.get("BAKEOFF_TEST_ALL_IMAGES")
    if not wanted and engine.run("image", "inspect", f"bakeoff/{name}:{code_tag()}").returncode:
        pytest.skip("takes minutes to build: BAKEOFF_TEST_ALL_IMAGES=1")
    return name, f"bakeoff/{name}:{engine.build(name)}"


def test_an_image_holds_its_own_extra_runs_as_nobody_and_writes_nowhere(engine: Engine, image: tuple[str, str]) -> None:
    name, full = image
    run = ["run", "--rm", "--read-only", "--network", "none", "--cap-drop", "ALL", "--entrypoint", "python"]
    probe = json.loads(engine(*run, full, "-c", PROBE, ",".join(FRAMEWORKS)))
    holds = (HOLDS | HEAVY_HOLDS)[name]
    assert probe == {"found": sorted(holds, key=FRAMEWORKS.index), "uid": 1000, "written": False}


def test_an_image_starts_without_a_shell_and_says_what_it_is(engine: Engine, image: tuple[str, str]) -> None:
    name, full = image
    config = engine.inspect(full)["Config"]
    assert config["User"] == "1000:1000"
    assert config["Entrypoint"][0] == "python"
    labels = config["Labels"]
    arguments = IMAGES[name].arguments
    kind = arguments.get("FRAMEWORK") or arguments.get("RUNTIME")
    assert labels["org.opencontainers.image.title"] == f"bakeoff-{IMAGES[name].file}" + (f"-{kind}" if kind else "")
    assert labels["org.opencontainers.image.version"]
    if check := config.get("Healthcheck"):
        assert check["Test"][0] == "CMD"  # CMD-SHELL needs one.
    run = ["run", "--rm", "--read-only", "--tmpfs", "/tmp", "--network", "none", *NO_SHELL]
    assert engine.run(*run, "--entrypoint", "/bin/sh", full, "-c", "exit 0").returncode != 0
    assert engine.run(*run, "--entrypoint", "/bin/bash", full, "-c", "exit 0").returncode != 0
    help_text = engine(*run, full, "--help")
    assert "--" in help_text


@pytest.mark.parametrize("image", ["serving-onnx"], indirect=True)
def test_a_service_refuses_to_listen_for_everybody_unless_told_to(engine: Engine, image: tuple[str, str]) -> None:
    _, full = image
    refused = engine.run("run", "--rm", "--read-only", "--tmpfs", "/tmp", full)
    assert refused.returncode == 2
    assert "--insecure" in refused.stderr
    assert "--allow-anonymous" in refused.stderr


@pytest.mark.parametrize("image", ["tracking"], indirect=True)
def test_mlflow_answers_within_its_memory_limit_and_refuses_other_names(engine: Engine, image: tuple[str, str]) -> None:
    _, full = image
    run = ["run", "--detach", "--name", "bakeoff-mlflow", "--read-only", "--tmpfs", "/tmp", "--volume", "/data"]
    engine(*run, "--memory", "1g", "--memory-swap", "1g", full, "--allowed-hosts", "localhost:*")
    ask = (
        "import sys, urllib.request as u; "
        "print(u.urlopen(u.Request(sys.argv[1], headers={'Host': sys.argv[2]})).status)"
    )
    url = "http://127.0.0.1:5000/api/2.0/mlflow/experiments/search?max_results=1"
    inside = ("exec", "bakeoff-mlflow", "python", "-c", ask, url)
    try:
        wait_for(lambda: engine.run(*inside, "localhost:5000").stdout == "200\n", "MLflow to answer")
        assert "403" in engine.run(*inside, "elsewhere:5000").stderr
        assert engine.inspect("bakeoff-mlflow")["State"]["OOMKilled"] is False
    finally:
        engine("rm", "--force", "--volumes", "bakeoff-mlflow")


DATABASE = """
import boto3, sqlalchemy
print(sqlalchemy.create_engine("postgresql://mlflow:secret@database/mlflow").driver)
print(boto3.client("s3").meta.service_model.service_name)
"""


@pytest.mark.parametrize("image", ["tracking"], indirect=True)
def test_mlflow_has_a_driver_of_postgres_and_a_client_of_buckets(engine: Engine, image: tuple[str, str]) -> None:
    _, full = image
    run = ["run", "--rm", "--read-only", "--network", "none", "--entrypoint", "python", "--env"]
    assert engine(*run, "AWS_DEFAULT_REGION=us-east-1", full, "-c", DATABASE).split() == ["psycopg", "s3"]


@pytest.mark.parametrize("image", ["serving-onnx"], indirect=True)
def test_the_sbom_lists_every_part_with_its_locked_version(engine: Engine, image: tuple[str, str]) -> None:
    tag = engine.build("serving-onnx", sbom=True)
    sbom = json.loads((ROOT / f"dist/images/serving-onnx-{tag}.cdx.json").read_text())
    parts = {part["name"].lower(): part["version"] for part in sbom["components"]}
    locked = dict(line.split("==") for line in Path(ROOT, "constraints.txt").read_text().splitlines() if "==" in line)
    assert parts["onnxruntime"] == locked["onnxruntime"]
    assert parts["numpy"] == locked["numpy"]
    assert "torch" not in parts
