"""The same arms on two splits, on synthetic results: TEST DATA, no figure here was measured."""

from pathlib import Path

import pytest

from core.schemas.results import EvaluateResult, TrainResult
from core.schemas.summary import Summary
from evaluator import report
from evaluator.provenance import Result
from evaluator.report import seed_tables, split_tables
from evaluator.report.markdown import to_markdown
from evaluator.summary import summarise
from tests.unit.evaluator.builder import Experiment

ARMS = {"arms": ("matched",), "frameworks": ("keras", "pytorch"), "load_tests": False}
OWN = Experiment(**ARMS, skill=0.97)  # type: ignore[arg-type]
OTHER = Experiment(**ARMS, skill=0.60, images=200, seed=8, policy="contiguous")  # type: ignore[arg-type]


def both(others: list[Result]) -> Summary:
    return summarise(OWN.spec, OWN.results, OWN.probabilities, OWN.labels, others)


def test_both_accuracies_of_an_arm_stand_beside_each_other() -> None:
    found = both(OTHER.results).other_split
    assert found is not None
    assert (found.policies, found.test_images) == (("given", "contiguous"), (360, 200))
    assert [(row.arm, row.framework, row.own.count, row.other.count) for row in found.rows] == [
        ("matched", "keras", 3, 3),
        ("matched", "pytorch", 3, 3),
    ]
    scored = [r for r in OTHER.results if isinstance(r, EvaluateResult) and "keras" in r.spec.model]
    assert found.rows[0].other.mean == pytest.approx(sum(one.accuracy for one in scored) / 3)
    assert {row[2] for row in split_tables.table(found).rows} == {"3"}
    assert all(row[5].startswith("+") for row in split_tables.table(found).rows)
    assert all(row[8].startswith("±") for row in split_tables.table(found).rows)
    told = split_tables.sentence(found)
    assert "the source’s own split (360 test images) and contiguous blocks (200 test images)" in told
    assert "Test accuracy on the former minus that on the latter: +3" in told


def test_nothing_else_in_the_summary_is_of_the_other_split() -> None:
    one, two = both([]), both(OTHER.results)
    assert one.other_split is None
    differing = {key for key in type(one).model_fields if getattr(one, key) != getattr(two, key)}
    assert differing == {"other_split", "step_seconds"}


def test_only_seeds_scored_on_both_splits_are_compared() -> None:
    less = [r for r in OTHER.results if not (isinstance(r, EvaluateResult) and "keras-s1" in r.spec.model)]
    found = both(less).other_split
    assert found is not None
    assert [(row.framework, row.difference.seeds) for row in found.rows] == [("keras", 2), ("pytorch", 3)]
    own = {r.spec.model: r.accuracy for r in (*OWN.results, *less) if isinstance(r, EvaluateResult)}
    gaps = [
        own[f"test-digits-matched-keras-s{seed}-onnx"] - own[f"test-digits-matched-contiguous-keras-s{seed}-onnx"]
        for seed in (0, 2)
    ]
    first = found.rows[0]
    assert first.difference.mean == pytest.approx(sum(gaps) / 2)
    assert (first.own.count, first.other.count) == (2, 2)
    assert first.own.mean - first.other.mean == pytest.approx(first.difference.mean)


def test_classes_without_test_images_on_the_other_split_are_told() -> None:
    few = Experiment(**ARMS, untested=("7",), seed=9, policy="contiguous")  # type: ignore[arg-type]
    (line,) = both(few.results).missing
    assert line.startswith("test images of class '7' on the contiguous split: there are none")


def test_what_was_trained_or_scored_on_one_split_alone_is_left_out() -> None:
    less = [r for r in OTHER.results if not (isinstance(r, EvaluateResult) and "keras" in r.spec.model)]
    found = both(less).other_split
    assert found is not None
    assert [row.framework for row in found.rows] == ["pytorch"]
    assert both([r for r in OTHER.results if not isinstance(r, EvaluateResult)]).other_split is None
    untrained = both([r for r in OTHER.results if not isinstance(r, TrainResult)])
    assert untrained.other_split is None
    assert any("has no training result" in line for line in untrained.missing)


def test_the_report_has_a_section_where_two_splits_were_compared(tmp_path: Path) -> None:
    report.write(OWN.spec, OWN.results, OWN.probabilities, OWN.test, (), tmp_path, None, OTHER.results)
    page = (tmp_path / "report.html").read_text()
    assert 'id="splits"' in page
    assert 'href="#splits"' in page
    assert "## Splits" in to_markdown(both(OTHER.results))
    assert "## Splits" not in to_markdown(both([]))


def test_what_all_steps_took_is_told_with_its_parts() -> None:
    found = both(OTHER.results)
    assert set(found.step_seconds) == {"prepare", "train", "evaluate"}
    assert found.step_seconds["prepare"] == pytest.approx(2.4)
    trained = [r for r in (*OWN.results, *OTHER.results) if isinstance(r, TrainResult)]
    assert found.step_seconds["train"] == pytest.approx(sum(sum(r.seconds.values()) for r in trained))
    assert seed_tables.effort(found).startswith("All steps one after another took ")
    assert ": preparing 2.40 s, training " in seed_tables.effort(found)
    assert "scoring" in seed_tables.effort(found)


def test_of_an_earlier_summary_it_says_what_is_not_known() -> None:
    older = both([]).model_copy(update={"step_seconds": {}})
    assert seed_tables.effort(older).startswith("Preparing and training took ")
    assert seed_tables.effort(older).endswith("; what other steps took was not recorded.")
    assert seed_tables.effort(older.model_copy(update={"trainings": ()})) == ""
