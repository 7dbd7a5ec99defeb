import re

import pytest

from core.schemas.summary import Summary
from evaluator.report.cards import card, cards
from evaluator.summary import summarise
from tests.unit.evaluator.builder import Experiment, changed, environment


@pytest.fixture(scope="module")
def summary() -> Summary:
    one = Experiment(seeds=(0,), frameworks=("keras", "pytorch"))
    return summarise(one.spec, one.results, one.probabilities, one.labels)


def test_every_artefact_has_one_card_named_by_model_and_version(summary: Summary) -> None:
    found = cards(summary)
    assert set(found) == {f"{row.model}-v1.md" for row in summary.rows}


def test_a_card_says_use_data_recipe_metrics_with_interval_limits_and_digest(summary: Summary) -> None:
    row = next(row for row in summary.rows if row.format == "onnx")
    page = card(row, summary)
    assert re.findall(r"^## (.*)$", page, re.M) == [
        *("Intended use", "Data", "Training", "Metrics", "Serving", "Limits", "Artefact")
    ]
    assert summary.data is not None
    for part in (row.artifact, summary.data.fingerprint, "95% Wilson interval", "digits-cnn", "| 9 |", "p99"):
        assert part in page


def test_classes_with_few_test_images_are_a_named_limit(summary: Summary) -> None:
    row = next(row for row in summary.rows if row.format == "onnx")
    assert "recall is known only roughly: 0 (36)" in card(row, summary)


def test_what_was_not_measured_is_not_claimed() -> None:
    one = Experiment(seeds=(0,), arms=("matched",), frameworks=("keras",), load_tests=False)
    found = summarise(one.spec, one.results, one.probabilities, one.labels)
    page = card(found.rows[0].model_copy(update={"accuracy": None, "scores": None}), found)
    assert "Not scored." in page
    assert "## Serving" not in page


def test_contended_load_tests_are_to_be_read_with_care() -> None:
    one = Experiment(seeds=(0,), arms=("matched",), frameworks=("keras",))
    results = changed(one.results, "load-test-digits-matched-keras-s0-onnx", environment=environment(contended=True))
    found = summarise(one.spec, results, one.probabilities, one.labels)
    row = next(row for row in found.rows if row.format == "onnx")
    assert "To be read with care: contended." in card(row, found)


def test_hostile_names_stay_text() -> None:
    one = Experiment(classes=("<script>", "b|c"), seeds=(0,), arms=("matched",), frameworks=("keras",), title="<b>")
    found = summarise(one.spec, one.results, one.probabilities, one.labels)
    page = card(found.rows[-1], found)
    assert "<script>" not in page.replace("\\<script\\>", "")
    assert "<b>" not in page.replace("\\<b\\>", "")


def test_every_card_has_the_classes_of_its_own_artefact(summary: Summary) -> None:
    for row in summary.rows:
        page = card(row, summary)
        recall = next(one.recall for one in row.classes if one.name == "9")
        (line,) = re.findall(r"^\| 9 \|.*$", page, re.M)
        assert line.split("|")[3].strip() == f"{recall:.4f}"
