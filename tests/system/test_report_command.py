"""`bakeoff report` on an experiment that was run: one framework, one seed."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.system.bakeoff_command import QUICK, Bakeoff, overrides

pytestmark = pytest.mark.system
ONE = ("experiments/digits.yaml", *overrides(*QUICK, "frameworks=[pytorch]", "formats={pytorch: [onnx]}"))


@pytest.fixture(scope="module")
def bakeoff(tmp_path_factory: pytest.TempPathFactory) -> Bakeoff:
    """A home in which the experiment was run; its services are stopped again."""
    bakeoff = Bakeoff(tmp_path_factory.mktemp("report") / "home")
    ended = bakeoff.run("run", *ONE, *overrides("loadtest=null"))
    assert ended.code == 0, ended.out + ended.err
    return bakeoff


def test_recomputing_a_report_computes_its_figures_from_the_kept_predictions(bakeoff: Bakeoff) -> None:
    before = json.loads(bakeoff.run("report", "digits", "--format", "json").out)
    # What a version with another definition of its figures might have written.
    for path in (bakeoff.home / "store/results").glob("evaluate-*/result.json"):
        spoil(path)
    stale = bakeoff.home / "reports/digits/report.md"
    stale.write_text("stale")
    ended = bakeoff.run("report", "digits", "--recompute", "--format", "json")
    assert ended.code == 0, ended.err
    assert json.loads(ended.out) == before
    assert stale.read_text().startswith("# ")
    # The report says from what it was made, so it can be made again.
    assert json.loads(bakeoff.run("report", "digits", "--recompute", "--format", "json").out) == before
    assert bakeoff.processes() == []


def test_a_report_that_cannot_be_recomputed_stays_as_it_was(bakeoff: Bakeoff) -> None:
    folder = bakeoff.home / "reports/digits"
    spec = folder / "spec.json"
    kept, text = spec.read_bytes(), (folder / "report.md").read_text()
    spec.unlink()
    ended = bakeoff.run("report", "digits", "--recompute")
    spec.write_bytes(kept)
    assert ended.code == 3
    assert "run its experiment again, only the report is made anew" in ended.err
    assert (folder / "report.md").read_text() == text


def spoil(path: Path) -> None:
    """Gives a stored evaluation figures that its predictions do not give."""
    document: dict[str, Any] = json.loads(path.read_text())
    document |= {"log_loss": 9.0, "scores": {**document["scores"], "brier": 0.9}}
    path.chmod(0o644)
    path.write_text(json.dumps(document))
