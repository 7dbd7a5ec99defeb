import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from core import files
from core.schemas.summary import Summary
from evaluator.summary import summarise
from services.cli.main import app
from tests.unit.evaluator.builder import Experiment

RULES = "rules:\n  - {metric: accuracy, min: 0.5}\n"


@pytest.fixture(scope="module")
def summary() -> Summary:
    one = Experiment(seeds=(0,), arms=("matched",), frameworks=("keras",))
    return summarise(one.spec, one.results, one.probabilities, one.labels)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, summary: Summary) -> Path:
    monkeypatch.setenv("BAKEOFF_HOME", str(tmp_path))
    files.write_json(tmp_path / "reports/digits/summary.json", summary)
    (tmp_path / "gates.yaml").write_text(RULES)
    return tmp_path


def invoke(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.stdout, result.stderr


def test_a_gate_that_holds_ends_with_0_and_writes_junit(home: Path) -> None:
    junit = home / "out/gate.xml"
    code, _, _ = invoke("gate", "digits", "--rules", str(home / "gates.yaml"), "--junit", str(junit))
    assert code == 0
    assert ElementTree.parse(junit).getroot().get("failures") == "0"


def test_a_gate_that_does_not_hold_ends_with_1_and_says_which_rule(home: Path) -> None:
    (home / "gates.yaml").write_text("rules:\n  - {metric: accuracy, min: 1.5}\n")
    code, out, _ = invoke("gate", "digits", "--rules", str(home / "gates.yaml"), "--format", "json")
    assert code == 1
    failed = [one for one in json.loads(out) if not one["passed"]]
    assert "below the minimum of 1.5" in failed[0]["message"]


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ("rules: [", "gates.yaml:1: not valid YAML"),
        ("- accuracy", "expected a mapping"),
        ("rules: []", "at least 1 item"),
        ("rules:\n  - {metric: speed, min: 1}", "unknown metric; known: accuracy"),
        ("", "expected a mapping"),
        ("rules: \x07", "gates.yaml: not text that YAML allows: "),
        ("rules:\n  - {metric: accuracy, max: true}", "rules.0.max: expected a number (got True)"),
        ("allow_incomplete: 3\nrules:\n  - {metric: accuracy}", "rules.0: a rule needs min, max or both; allow_inc"),
    ],
)
def test_rules_that_are_not_valid_end_with_2_and_name_file_and_key(home: Path, rules: str, message: str) -> None:
    (home / "gates.yaml").write_text(rules)
    code, _, err = invoke("gate", "digits", "--rules", str(home / "gates.yaml"))
    assert code == 2
    assert str(home / "gates.yaml") in err
    assert message in err


def test_a_wrong_rule_is_not_also_called_a_missing_one(home: Path) -> None:
    (home / "gates.yaml").write_text("rules:\n  - {metric: speed, min: 1}")
    _, _, err = invoke("gate", "digits", "--rules", str(home / "gates.yaml"))
    assert "at least 1 item" not in err
    assert "Value error" not in err


@pytest.mark.parametrize(("place", "reason"), [("reports", "directory"), ("gates.yaml/gate.xml", "gates.yaml")])
def test_a_junit_file_that_cannot_be_written_ends_with_2_and_names_it(home: Path, place: str, reason: str) -> None:
    code, _, err = invoke("gate", "digits", "--rules", str(home / "gates.yaml"), "--junit", str(home / place))
    assert code == 2
    assert f"--junit {home / place} cannot be written: " in err
    assert reason in err
    assert not [path.name for path in home.iterdir() if path.name.startswith(".")]


def test_an_absent_report_or_rules_file_ends_with_3(home: Path) -> None:
    assert invoke("gate", "nobody", "--rules", str(home / "gates.yaml"))[0] == 3
    assert invoke("gate", "digits", "--rules", str(home / "absent.yaml"))[0] == 3
    assert invoke("compare", "digits", "nobody")[0] == 3


def test_reports_are_compared_by_name_folder_or_file(home: Path) -> None:
    folder = home / "reports/digits"
    code, out, _ = invoke("compare", "digits", str(folder), "--format", "json")
    assert code == 0
    assert {one["change"] for one in json.loads(out)} == {0}
    assert invoke("compare", str(folder / "summary.json"), "digits")[0] == 0


def test_reports_without_a_common_row_are_refused(home: Path, summary: Summary) -> None:
    files.write_json(home / "reports/other/summary.json", summary.model_copy(update={"rows": ()}))
    assert invoke("compare", "digits", "other")[0] == 2
