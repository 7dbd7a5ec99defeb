import math

import numpy as np
import pytest
from numpy.typing import NDArray

from core.errors import InvalidInputError
from evaluator import metrics
from evaluator.intervals import difference_half_width, wilson

CLASSES = ("a", "b", "c")


def probabilities(*rows: tuple[float, ...]) -> NDArray[np.float32]:
    return np.array(rows, np.float32)


def labels(*values: int) -> NDArray[np.int64]:
    return np.array(values, np.int64)


FOUR = probabilities((0.8, 0.1, 0.1), (0.2, 0.7, 0.1), (0.6, 0.3, 0.1), (0.1, 0.1, 0.8))


def test_counts_correct_answers_and_puts_true_classes_in_rows() -> None:
    found = metrics.compute(labels(0, 1, 1, 2), FOUR, CLASSES)
    assert found["images"] == 4
    assert found["accuracy"] == 0.75
    assert found["confusion"] == ((1, 0, 0), (1, 1, 0), (0, 0, 1))


def test_reports_precision_recall_and_f1_by_class_and_averaged() -> None:
    found = metrics.compute(labels(0, 1, 1, 2), FOUR, CLASSES)
    a, b, c = found["classes"]
    assert (a.precision, a.recall, a.support) == (0.5, 1.0, 1)
    assert (b.precision, b.recall, b.support) == (1.0, 0.5, 2)
    assert (c.name, c.f1) == ("c", 1.0)
    assert found["macro"].recall == pytest.approx((1 + 0.5 + 1) / 3)
    assert found["weighted"].recall == pytest.approx((1 + 2 * 0.5 + 1) / 4)
    assert found["macro"].support == 4


def test_log_loss_is_the_mean_negative_logarithm_of_the_true_class() -> None:
    found = metrics.compute(labels(0, 1, 1, 2), FOUR, CLASSES)
    assert found["log_loss"] == pytest.approx(-np.mean(np.log([0.8, 0.7, 0.3, 0.8])), rel=1e-6)


def test_a_certain_and_wrong_answer_costs_a_finite_loss() -> None:
    found = metrics.compute(labels(1), probabilities((1, 0, 0)), CLASSES)
    assert found["log_loss"] == pytest.approx(-math.log(np.finfo(np.float32).eps), rel=1e-5)


def test_wilson_interval_agrees_with_the_published_formula() -> None:
    z, n, p = 1.959963984540054, 360, 353 / 360
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    assert wilson(353, 360) == pytest.approx((centre - half, centre + half))


def test_shares_of_other_images_differ_by_the_luck_of_both() -> None:
    expected = 1.959963984540054 * math.sqrt(0.6 * 0.4 / 870 + 0.3 * 0.7 / 435)
    assert difference_half_width((0.6, 0.3), (870, 435)) == pytest.approx(expected)


@pytest.mark.parametrize(("correct", "images"), [(0, 1), (1, 1), (0, 10_000), (10_000, 10_000)])
def test_wilson_interval_stays_inside_zero_and_one_at_the_extremes(correct: int, images: int) -> None:
    low, high = wilson(correct, images)
    assert 0 <= low < high <= 1
    assert low <= correct / images <= high


def test_a_class_without_test_images_has_no_figures_and_no_part_in_the_macro_average() -> None:
    # Two of a, one of them taken for c, and one of b that is taken for a: c has an answer and no image.
    given = probabilities((0.9, 0.1, 0.0), (0.1, 0.1, 0.8), (0.9, 0.1, 0.0))
    found = metrics.compute(labels(0, 0, 1), given, CLASSES)
    assert found["classes"][2].model_dump() == {
        "name": "c", "precision": None, "recall": None, "f1": None, "support": 0,
    }  # fmt: skip
    assert found["classes"][1].precision == 0.0
    assert found["macro"].f1 == pytest.approx((0.5 + 0) / 2)
    assert found["macro"].precision == pytest.approx((0.5 + 0) / 2)
    assert found["weighted"].f1 == pytest.approx(2 / 3 * 0.5)
    assert found["confusion"] == ((1, 0, 1), (1, 0, 0), (0, 0, 0))


def test_of_equal_probabilities_the_first_class_is_the_prediction() -> None:
    found = metrics.compute(labels(0, 1), probabilities((0.5, 0.5), (0.5, 0.5)), ("no", "yes"))
    assert found["confusion"] == ((1, 0), (1, 0))


@pytest.mark.parametrize(
    ("label", "row", "message"),
    [
        (3, (0.8, 0.1, 0.1), r"label 3 is out of range, expected 0 to 2"),
        (-1, (0.8, 0.1, 0.1), r"label -1 is out of range"),
        (0, (0.8, 0.1, math.nan), r"image 0 are not finite"),
        (0, (0.8, 0.1, math.inf), r"image 0 are not finite"),
        (0, (0.8, 0.1, 0.0), r"image 0 sum to 0\.9, expected 1"),
        (0, (4.0, -2.0, -1.0), r"image 0 lie between -2 and 4, expected 0 to 1"),
        (0, (0.5, 0.5), r"shape \[1, 2\], expected \[1, 3\]"),
    ],
)
def test_refuses_what_cannot_be_scored_and_says_why(label: int, row: tuple[float, ...], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        metrics.compute(labels(label), probabilities(row), CLASSES)


def test_refuses_an_empty_split() -> None:
    with pytest.raises(InvalidInputError, match="no images"):
        metrics.compute(labels(), np.empty((0, 3), np.float32), CLASSES)


def test_refuses_more_labels_than_predictions() -> None:
    with pytest.raises(InvalidInputError, match=r"expected \[2, 3\]"):
        metrics.compute(labels(0, 1), probabilities((0.8, 0.1, 0.1)), CLASSES)


def test_refuses_labels_that_are_no_integers() -> None:
    with pytest.raises(InvalidInputError, match="labels are float64"):
        metrics.compute(np.array([0.0]), probabilities((0.8, 0.1, 0.1)), CLASSES)


def test_accepts_rows_that_sum_to_one_within_float32_rounding() -> None:
    rng = np.random.default_rng(0)
    rows = rng.dirichlet(np.ones(29), 500).astype(np.float16).astype(np.float32)
    assert metrics.compute(rng.integers(0, 29, 500), rows, tuple(map(str, range(29))))["images"] == 500
