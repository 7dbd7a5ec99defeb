"""`make up COMPOSE=1` and `make demo COMPOSE=1` on a real engine, with one framework and one runtime of the core."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy import compose
from services.client.control import is_serving
from tests.system.containers import ROOT, Engine, Project, start_engine

pytestmark = [pytest.mark.system, pytest.mark.timeout(900)]

SERVICES = ("trainer-pytorch", "evaluator", "serving-onnx", "production")
# Free ports; and what takes minutes to build is not part of it.
OVERRIDE = """
services:
  trainer-keras: !reset null
  trainer-tensorflow: !reset null
  trainer-fastai: !reset null
  serving-tensorflow: !reset null
  serving-pytorch: !reset null
  trainer-pytorch: {ports: !override ["127.0.0.1::7101"]}
  evaluator: {ports: !override ["127.0.0.1::7105"]}
  serving-onnx: {ports: !override ["127.0.0.1::7111"]}
  production: {ports: !override ["127.0.0.1::7111"]}
"""
ARM = {"architecture": "digits-cnn", "mode": "matched", "recipe": {"epochs": 1, "batch_size": 64}}
QUICK = {
    "frameworks": ["pytorch"],
    "seeds": [0],
    "formats": {"pytorch": ["onnx"]},
    "loadtest": None,
    "arms": {"matched": ARM},
}
"""What ARGS sets; it is split at blanks, so there are none."""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """The project that the actions start, by their environment; what they keep is in a folder of the test."""
    engine, name = Engine(start_engine()), f"bakeoff-up-{os.getpid()}"
    override = tmp_path / "override.yaml"
    override.write_text(OVERRIDE)
    quick = " ".join(f"--set {key}={json.dumps(value, separators=(',', ':'))}" for key, value in QUICK.items())
    told = {"COMPOSE_PROJECT_NAME": name, "BAKEOFF_COMPOSE_OVERRIDE": str(override), "ARGS": quick}
    for variable, value in (engine.environment | told).items():
        monkeypatch.setenv(variable, value)
    for variable in ("BAKEOFF_TAG", "BAKEOFF_REGISTRY"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(compose, "KEPT", tmp_path / "kept")
    project = Project(engine, name, (ROOT / "deploy/compose.yaml", override), compose.images.code_tag())
    try:
        yield project
    finally:
        project.run("--profile", "*", "down", "--volumes", "--timeout", "1")


def test_the_demo_prints_addresses_that_answer_and_copies_its_report_out(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """It begins with what `up` does."""
    act(monkeypatch, "demo")
    said = capfd.readouterr().out
    addresses = dict(re.findall(r"^(\S+) +healthy +grpc://(\S+)$", said, re.M))
    assert addresses.keys() == {*SERVICES}, said
    assert [name for name, target in addresses.items() if not is_serving(target)] == []
    (page,) = re.findall(r"^report: (\S+)$", said, re.M)[-1:]
    assert Path(page) == tmp_path / "kept/reports/digits/report.html"
    assert "digits-matched-pytorch-s0" in Path(page).read_text()
    act(monkeypatch, "bakeoff", "models")
    assert "digits-matched-pytorch-s0-onnx" in capfd.readouterr().out
    act(monkeypatch, "down")
    assert project.engine("ps", "--quiet", "--filter", f"name={project.name}") == ""
    assert f"{project.name}_store" in project.engine("volume", "ls", "--format", "{{.Name}}").split()


def act(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    """What `make` runs."""
    monkeypatch.setattr("sys.argv", ["compose.py", *words])
    compose.main()
