"""Classes that no test image is of: the figures of the others stand, nothing is invented, and every page says so."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core import gate
from core.comparison import compare
from core.schemas.data import class_names
from core.schemas.gates import Gates
from core.schemas.summary import Summary, parse_summary
from evaluator import operating, report
from evaluator.report import charts, tables
from evaluator.report.cards import card
from evaluator.summary import summarise
from tests.unit.evaluator.builder import Experiment

ALONE: dict[str, Any] = {
    "seeds": (0,), "arms": ("matched",), "frameworks": ("keras", "pytorch"), "images": 60, "calibrated": True,
    "corrupted": True, "load_tests": False,
}  # fmt: skip
MISSING = (
    "test images of class 'rare': there are none, so how well it is recognised is not known; macro averages are over "
    "the other 2 of 3 classes"
)


def experiment(*classes: str, **changes: Any) -> Experiment:
    return Experiment(classes=classes, untested=("rare",), **{**ALONE, **changes})


def summary_of(one: Experiment) -> Summary:
    return summarise(one.spec, one.results, one.probabilities, one.labels)


@pytest.fixture(scope="module", params=[("a", "b", "rare"), ("common", "rare"), ("rare", "common")], ids="-".join)
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Summary]:
    """A whole report, where the class is one of three, or one of two."""
    folder, one = tmp_path_factory.mktemp("report"), experiment(*request.param)
    return folder, report.write(one.spec, one.results, one.probabilities, one.test, one.samples(), folder)


def test_the_class_has_no_figures_and_no_part_in_the_macro_average(written: tuple[Path, Summary]) -> None:
    for result in written[1].classifications:
        by_name = {one.name: one for one in result.classes}
        rare = by_name.pop("rare")
        assert (rare.precision, rare.recall, rare.f1, rare.support) == (None, None, None, 0)
        figures = [one.f1 for one in by_name.values() if one.f1 is not None]
        assert len(figures) == len(by_name)
        assert result.macro.f1 == pytest.approx(np.mean(figures))
        assert result.macro.support == result.weighted.support == result.images


def test_its_areas_are_not_known_and_the_means_are_those_of_the_others(written: tuple[Path, Summary]) -> None:
    for row in written[1].rows:
        assert row.scores is not None
        areas = {one.name: one.roc_auc for one in row.scores.classes}
        assert areas.pop("rare") is None
        # Of two classes the other one has no image to be told from.
        known = [area for area in areas.values() if area is not None]
        assert row.scores.roc_auc == (pytest.approx(np.mean(known)) if len(areas) == 2 else None)


def test_every_file_of_the_report_is_written_without_a_figure_that_is_no_number(written: tuple[Path, Summary]) -> None:
    folder, summary = written
    text = (folder / "summary.json").read_text()
    json.loads(text, parse_constant=pytest.fail)
    assert parse_summary(text, "it") == summary
    for line in csv.DictReader(io.StringIO((folder / "report.csv").read_text())):
        assert "nan" not in {value.casefold() for value in line.values()}
    page = (folder / "report.html").read_text()
    assert "Incomplete: 1 part is missing" in page
    assert "test images of class &#39;rare&#39;: there are none" in page
    assert "no test images" in page


def test_the_card_says_what_is_not_known(written: tuple[Path, Summary]) -> None:
    folder, summary = written
    tested, known = (
        len(summary.data.classes) - 1 if summary.data else 0,
        len(summary.data.classes) if summary.data else 0,
    )
    for path in (folder / "cards").iterdir():
        found = path.read_text()
        assert "No test image of class 'rare': how well it is recognised is not known." in found
        assert f"over the {tested} of {known} classes with test images" in found
        assert "nan" not in found.casefold().split()


def test_a_threshold_of_two_classes_claims_no_share_of_images_that_are_not_there() -> None:
    for classes, known in ((("common", "rare"), "specificity"), (("rare", "common"), "sensitivity")):
        for row in summary_of(experiment(*classes)).rows:
            assert row.operating is not None
            assert row.operating.threshold is not None
            rates = row.operating.threshold.test
            assert (rates.sensitivity is None) == (rates.f1 is None) == (known == "specificity")
            assert (rates.specificity is None) == (known == "sensitivity")
            assert rates.accuracy == (rates.specificity if known == "specificity" else rates.sensitivity)


def test_rates_without_negative_images_have_no_specificity() -> None:
    found = operating.rates(np.array([True, True]), np.array([True, False]))
    assert (found.sensitivity, found.specificity, found.precision) == (0.5, None, 1.0)


def test_the_report_is_incomplete_and_says_what_the_means_are_over() -> None:
    summary = summary_of(experiment("a", "b", "rare"))
    assert summary.missing == (MISSING,)
    assert summary.unusable == ()
    assert not summary.complete
    assert summary.verdict.row is not None


def test_a_class_without_validation_images_is_a_note_and_a_limit_and_nothing_is_missing() -> None:
    one = Experiment(classes=("a", "b", "rare"), **ALONE)
    prepare = one.results[0]
    assert prepare.kind == "prepare"
    counts = prepare.counts | {"validation": {"a": 3, "b": 4, "rare": 0}}
    one.results[0] = prepare.model_copy(update={"counts": counts})
    summary = summary_of(one)
    assert summary.missing == ()
    assert [note for note in summary.notes if "no validation image of class 'rare'" in note]
    assert "No validation image of class 'rare'" in card(summary.rows[0], summary)


def test_the_row_of_the_confusion_matrix_has_counts_of_zero_and_no_shares() -> None:
    summary = summary_of(experiment("a", "b", "rare"))
    figure = charts.confusion(summary.classifications[0])
    hits, misses = figure["data"]
    assert hits["z"][2] == [None, None, 0]
    assert misses["z"][2] == [None, None, None]
    assert hits["text"][2] == ["–", "–", "–"]
    assert hits["text"][0][0].endswith("%")


def test_the_classification_report_has_dashes_and_says_over_how_many_the_macro_mean_is() -> None:
    summary = summary_of(experiment("a", "b", "rare"))
    rows = {row[0]: row[1:] for row in tables.per_class(summary.classifications[0]).rows}
    assert rows["rare"] == ("–", "–", "–", "no test images")
    assert "macro, of 2 classes" in rows
    assert "weighted" in rows


def test_a_gate_fails_for_the_class_until_it_allows_incomplete_reports() -> None:
    summary = summary_of(experiment("a", "b", "rare"))
    rules = {"rules": [{"metric": "macro_f1", "min": 0.1}]}
    refused = [one for one in gate.check(summary, Gates.model_validate(rules)) if not one.passed]
    assert [one.message for one in refused] == [f"missing: {MISSING}"]
    allowed = gate.check(summary, Gates.model_validate(rules | {"allow_incomplete": True}))
    assert all(one.passed for one in allowed)


def test_means_over_other_classes_are_not_compared() -> None:
    whole, part = summary_of(Experiment(classes=("a", "b", "rare"), **ALONE)), summary_of(experiment("a", "b", "rare"))
    found = {one.metric: one for one in compare(whole, part).differences}
    assert found["macro_f1"].finding == "not comparable"
    assert found["macro_f1"].reason == "means over other classes: 3 and 2 have test images"
    assert found["accuracy"].finding != "not comparable"


def test_many_classes_are_counted_not_listed() -> None:
    assert class_names(("x",)) == "class 'x'"
    assert class_names(("x", "y", "z")) == "classes 'x', 'y' and 'z'"
    assert class_names([str(i) for i in range(200)]).endswith("'6', '7' and 192 more")
