"""What `bakeoff doctor` finds where something is missing, and the command it gives."""

import json
from importlib import util
from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.cli import doctor
from services.cli.main import app


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BAKEOFF_HOME", str(tmp_path))
    monkeypatch.setattr(doctor, "is_serving", lambda target, timeout_s: False)
    return tmp_path


def examined() -> tuple[int, dict[str, dict[str, str]]]:
    """Exit code, and the rows by part."""
    ended = CliRunner().invoke(app, ["doctor", "--format", "json"])
    return ended.exit_code, {row["part"]: row for row in json.loads(ended.stdout)}


def test_every_part_is_named_with_what_is_installed(home: Path) -> None:
    code, rows = examined()
    assert code == 0
    assert {part for part, *_ in doctor.PARTS} < rows.keys()
    assert rows["PyTorch trainer"]["state"] == "installed"
    assert rows["PyTorch trainer"]["found"].startswith("torch 2.")
    assert rows["evaluator"]["fix"] == "bakeoff up"


def test_a_missing_library_is_named_with_the_command_that_installs_it(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = util.find_spec
    monkeypatch.setattr(doctor.util, "find_spec", lambda name: None if name == "onnxscript" else find(name))
    code, rows = examined()
    assert code == 1
    missing = {part: row for part, row in rows.items() if row["state"] == "missing"}
    assert missing.keys() == {"PyTorch trainer"}
    assert missing["PyTorch trainer"]["found"] == "without onnxscript"
    assert missing["PyTorch trainer"]["fix"] == "pip install -c constraints.txt 'bakeoff[pytorch]'"
