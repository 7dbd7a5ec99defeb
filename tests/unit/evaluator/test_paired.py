import numpy as np
import pytest
from numpy.typing import NDArray

from core.schemas.summary import Summary
from evaluator.paired import MATRIX_LIMIT, agreement, holm, mcnemar, with_tests
from evaluator.summary import summarise
from evaluator.verdict import decide, most_accurate
from tests.unit.evaluator.builder import Experiment
from tests.unit.evaluator.test_verdict import row


def correct(only_first: int, only_second: int, both: int = 10) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    first = [True] * both + [True] * only_first + [False] * only_second
    second = [True] * both + [False] * only_first + [True] * only_second
    return np.array(first), np.array(second)


def answers(labels: NDArray[np.int64], wrong: int, classes: int = 3) -> NDArray[np.float32]:
    """Certain answers, the first `wrong` of them wrong."""
    given = np.where(np.arange(len(labels)) < wrong, (labels + 1) % classes, labels)
    return np.eye(classes, dtype=np.float32)[given]


def test_mcnemar_is_a_fair_coin_over_the_images_one_alone_has_right() -> None:
    assert mcnemar(*correct(1, 9)) == (1, 9, pytest.approx(2 * (1 + 10) / 2**10))
    assert mcnemar(*correct(0, 6))[2] == pytest.approx(2 / 2**6)


def test_mcnemar_does_not_care_how_many_images_both_have_right() -> None:
    assert mcnemar(*correct(3, 12, both=0)) == mcnemar(*correct(3, 12, both=5_000))


def test_equal_answers_show_no_difference() -> None:
    assert mcnemar(*correct(0, 0)) == (0, 0, 1.0)
    assert mcnemar(*correct(7, 7))[2] == 1.0


def test_holm_gives_the_adjusted_values_of_a_worked_example() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_every_row_with_predictions_is_tested_against_the_most_accurate_one() -> None:
    labels = np.zeros(100, np.int64)
    rows = [row(1.0, log_loss=0.01), row(0.9), row(1.0), row(0.5)]
    predictions = {0: answers(labels, 0), 1: answers(labels, 10), 2: answers(labels, 0)}
    tested = with_tests(rows, most_accurate(rows), predictions, labels)
    assert tested[0].against_best is None
    assert tested[3].against_best is None, "it has no predictions"
    test = tested[1].against_best
    assert test is not None
    assert (test.only_first, test.only_second) == (10, 0)
    assert test.p_adjusted == pytest.approx(2 * test.p_value), "two comparisons, this one the clearest"


def test_a_paired_test_shows_a_difference_that_overlapping_intervals_hide() -> None:
    labels = np.zeros(1_000, np.int64)
    rows = [row(0.995, half=0.01), row(0.985, half=0.01)]
    assert "No difference shown" in decide(rows).picks[0].detail
    tested = with_tests(rows, 0, {0: answers(labels, 5), 1: answers(labels, 15)}, labels)
    verdict = decide(tested)
    assert "No difference shown" not in verdict.picks[0].detail
    assert verdict.reason.endswith("above the other, p ≤ 0.002.")
    assert "McNemar’s exact test on the same 100 images" in verdict.method


def test_the_verdict_says_which_test_was_used() -> None:
    intervals = decide([row(0.98), row(0.97)])
    assert "Wilson intervals overlap" in intervals.method
    assert "McNemar" not in intervals.method
    labels = np.zeros(100, np.int64)
    some = with_tests([row(1.0), row(0.9), row(0.8)], 0, {0: answers(labels, 0), 1: answers(labels, 10)}, labels)
    assert "McNemar" in decide(some).method
    assert "for 1 without predictions" in decide(some).method
    assert decide([row(0.9)]).method == ""


def test_agreement_counts_equal_answers_right_or_wrong() -> None:
    labels = np.zeros(10, np.int64)
    found = agreement([4, 7], {4: answers(labels, 3), 7: answers(labels, 5)}, labels)
    assert found is not None
    assert found.rows == (4, 7)
    (pair,) = found.pairs
    assert pair.agreement == 0.8
    assert (pair.test.only_first, pair.test.only_second) == (2, 0)


def test_fewer_than_two_artefacts_with_predictions_have_no_agreement() -> None:
    labels = np.zeros(10, np.int64)
    assert agreement([0, 1], {0: answers(labels, 1)}, labels) is None
    assert agreement([], {}, labels) is None


def test_a_matrix_too_large_to_read_says_how_many_were_left_out() -> None:
    labels = np.zeros(4, np.int64)
    every = {index: answers(labels, index % 4) for index in range(MATRIX_LIMIT + 3)}
    found = agreement(list(every), every, labels)
    assert found is not None
    assert len(found.rows) == MATRIX_LIMIT
    assert found.omitted == 3


@pytest.fixture(scope="module")
def summary() -> Summary:
    one = Experiment(seeds=(0, 1))
    return summarise(one.spec, one.results, one.probabilities, one.labels)


def test_a_summary_compares_one_artefact_for_each_arm_and_framework(summary: Summary) -> None:
    assert summary.agreement is not None
    assert len(summary.agreement.rows) == 8
    assert len(summary.agreement.pairs) == 8 * 7 // 2
    assert {(summary.rows[index].format, summary.rows[index].seed) for index in summary.agreement.rows} == {("onnx", 0)}


def test_all_rows_of_a_summary_but_the_most_accurate_are_tested(summary: Summary) -> None:
    untested = [index for index, one in enumerate(summary.rows) if one.against_best is None]
    assert untested == [most_accurate(summary.rows)]
