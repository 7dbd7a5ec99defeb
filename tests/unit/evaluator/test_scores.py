import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn import metrics as sk

from core.schemas.scores import Curve
from evaluator import curves
from evaluator.scores import BINS, calibration, compute_scores

CLASSES = ("a", "b", "c", "d")


def drawn(images: int = 400, classes: int = 4, seed: int = 0) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Labels and calibrated probabilities: the truth is drawn from them."""
    rng = np.random.default_rng(seed)
    rows = rng.dirichlet(np.full(classes, 0.4), images)
    labels = np.array([rng.choice(classes, p=row) for row in rows], np.int64)
    return labels, rows.astype(np.float32)


def area(curve: Curve) -> float:
    return float(np.trapezoid(curve.y, curve.x))


def test_top_k_counts_the_true_class_among_the_k_most_probable() -> None:
    rows = np.array([(0.4, 0.3, 0.2, 0.1)] * 4, np.float32)
    found = compute_scores(np.arange(4), rows, CLASSES)
    assert found.top_k == {2: 0.5, 3: 0.75}


def test_brier_is_half_the_squared_distance_from_the_truth() -> None:
    rows = np.array([(1, 0, 0, 0), (0, 1, 0, 0)], np.float32)
    assert compute_scores(np.array([0, 0]), rows, CLASSES).brier == pytest.approx(0.5)
    labels, rows = drawn()
    truth = np.eye(4)[labels]
    assert compute_scores(labels, rows, CLASSES).brier == pytest.approx(((rows - truth) ** 2).sum(1).mean() / 2)


def test_with_two_classes_brier_is_the_usual_one_and_the_second_class_is_positive() -> None:
    labels, rows = drawn(classes=2)
    found = compute_scores(labels, rows, ("NORMAL", "PNEUMONIA"))
    assert found.brier == pytest.approx(sk.brier_score_loss(labels, rows[:, 1].astype(float)), rel=1e-5)
    assert found.positive == "PNEUMONIA"
    assert found.roc_auc == pytest.approx(sk.roc_auc_score(labels, rows[:, 1]))
    assert found.average_precision == pytest.approx(sk.average_precision_score(labels, rows[:, 1]))


def test_areas_are_means_of_each_class_against_the_rest() -> None:
    labels, rows = drawn()
    found = compute_scores(labels, rows, CLASSES)
    exact = rows / rows.sum(axis=1, keepdims=True)
    assert found.roc_auc == pytest.approx(sk.roc_auc_score(labels, exact, multi_class="ovr"), rel=1e-6)
    assert found.positive is None
    assert [one.name for one in found.classes] == list(CLASSES)


def test_a_class_without_test_images_has_no_area_and_is_left_out_of_the_mean() -> None:
    labels, rows = drawn()
    found = compute_scores(np.where(labels == 3, 0, labels), rows, CLASSES)
    assert found.classes[3].roc_auc is None
    known = [one.roc_auc for one in found.classes[:3]]
    assert found.roc_auc == pytest.approx(np.mean(np.array(known, float)))


def test_with_images_of_one_class_alone_there_is_no_area_and_no_curve() -> None:
    rows = np.array([(0.7, 0.3), (0.4, 0.6)], np.float32)
    labels = np.zeros(2, np.int64)
    assert compute_scores(labels, rows, ("a", "b")).roc_auc is None
    assert curves.roc(labels, rows) is None
    assert curves.precision_recall(labels, rows) is None


def test_calibration_error_weighs_the_distance_of_confidence_and_accuracy_by_images() -> None:
    rows = np.array([(0.9, 0.1)] * 3 + [(0.6, 0.4)], np.float64)
    found = calibration(np.array([0, 0, 1, 0]), rows, bins=10)
    assert found.error == pytest.approx(0.75 * abs(2 / 3 - 0.9) + 0.25 * abs(1 - 0.6))
    assert [(round(one.low, 1), round(one.high, 1), one.images) for one in found.bins] == [(0.5, 0.6, 1), (0.8, 0.9, 3)]
    assert found.width == pytest.approx(0.1)


def test_probabilities_the_truth_is_drawn_from_are_calibrated() -> None:
    labels, rows = drawn(images=20_000)
    assert compute_scores(labels, rows, CLASSES).calibration.error < 0.02


def test_bins_hold_every_image_once_whatever_its_confidence() -> None:
    rows = np.array([(1.0, 0.0), (0.5, 0.5), (1 / 3 + 1e-9, 2 / 3 - 1e-9)])
    found = calibration(np.array([0, 0, 0]), rows)
    assert sum(one.images for one in found.bins) == 3
    assert len({one.low for one in found.bins}) == len(found.bins) <= BINS
    assert all(one.low < one.confidence <= one.high + 1e-12 for one in found.bins)


def test_curves_enclose_the_areas_that_the_scores_report() -> None:
    labels, rows = drawn(images=2_000, classes=2)
    found = compute_scores(labels, rows, ("a", "b"))
    roc, pr = curves.roc(labels, rows), curves.precision_recall(labels, rows)
    assert roc is not None
    assert pr is not None
    assert area(roc) == pytest.approx(found.roc_auc, abs=0.005)
    assert area(pr) == pytest.approx(found.average_precision, abs=0.005)
    assert (roc.x[0], roc.x[-1], roc.y[-1]) == (0, 1, 1)
    assert pr.x[-1] == 1


def test_a_perfect_classifier_has_the_corner_and_full_areas() -> None:
    labels = np.arange(40) % 4
    rows = np.eye(4, dtype=np.float32)[labels]
    found = compute_scores(labels, rows, CLASSES)
    assert (found.roc_auc, found.average_precision, found.brier, found.calibration.error) == (1, 1, 0, 0)
    roc, pr = curves.roc(labels, rows), curves.precision_recall(labels, rows)
    assert roc is not None
    assert pr is not None
    assert set(roc.y[1:]) == set(pr.y) == {1.0}
