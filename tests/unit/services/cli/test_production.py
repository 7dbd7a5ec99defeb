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


def evaluation(home, folder, result, artifact, run_id=None, **spec):
    """Puts a result into the store as one of the artefact."""
    own = {"artifact": artifact.digest, "data": artifact.data_fingerprint, **spec}
    changes = {"spec": result.spec.model_copy(update=own), "run_id": run_id or result.run_id}
    changed = result.model_copy(update=changes)
    content = folder / changed.run_id
    files.write_json(content / "result.json", changed)
    home.open_store().put("results", changed.run_id, content)
    return changed


def test_card_and_operating_point_of_these_very_bytes_are_found(home, tmp_path):
    artifact = published.publish(tmp_path / "models", NAME, published.linear(published.weights()))
    one = Experiment(seeds=(0,), arms=("matched",), frameworks=("keras",), calibrated=True)
    (result,) = [r for r in one.results if r.run_id == f"evaluate-{NAME}"]
    result = evaluation(home, tmp_path, result, artifact)
    # Earlier in the alphabet, and not what production serves or what the model was trained beside.
    evaluation(home, tmp_path, result, artifact, "evaluate-a", runtime="openvino-bf16")
    evaluation(home, tmp_path, result, artifact, "evaluate-b", data="1" * 64)
    evaluation(home, tmp_path, result.model_copy(update={"operating": None}), artifact, "evaluate-c")
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
