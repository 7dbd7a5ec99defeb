"""What `bakeoff promote` finds about a candidate."""

from pathlib import Path

import pytest

from core import files
from services.cli.context import Home
from services.cli.production import find_evidence
from tests.unit.evaluator.builder import Experiment
from tests.unit.serving import published

NAME = "test-digits-matched-keras-s0-onnx"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(home=tmp_path)


def test_card_and_operating_point_of_these_very_bytes_are_found(home, tmp_path):
    artifact = published.publish(tmp_path / "models", NAME, published.linear(published.weights()))
    one = Experiment(seeds=(0,), arms=("matched",), frameworks=("keras",), calibrated=True)
    (result,) = [r for r in one.results if r.run_id == f"evaluate-{NAME}"]
    result = result.model_copy(update={"spec": result.spec.model_copy(update={"artifact": artifact.digest})})
    content = tmp_path / "content"
    files.write_json(content / "result.json", result)
    home.open_store().put("results", result.run_id, content)
    card = tmp_path / f"reports/digits/cards/{NAME}-v1.md"
    files.write_text(card, f"# Card of {artifact.digest}\n")
    found = find_evidence(home, artifact)
    assert found.card == card.read_text()
    assert found.operating == result.operating
    assert found.operating is not None


def test_a_card_of_other_bytes_under_the_same_name_is_left_behind(home, tmp_path):
    artifact = published.publish(tmp_path / "models", NAME, published.linear(published.weights()))
    files.write_text(tmp_path / f"reports/digits/cards/{NAME}-v1.md", "# Card of " + "0" * 64)
    found = find_evidence(home, artifact)
    assert found.card is None
    assert found.operating is None
