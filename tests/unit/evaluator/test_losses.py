import math

import numpy as np
import pytest

from core.schemas.results import EvaluateResult
from core.schemas.summary import Summary
from evaluator.losses import DISAGREEMENTS, LOSSES, disagreements, pictured, top_losses
from evaluator.report.samples import pictures_of
from evaluator.summary import summarise
from tests.unit.evaluator.builder import Experiment

CLASSES = ("cat", "dog")


def test_the_worst_image_comes_first_with_what_was_said_about_it() -> None:
    rows = np.array([(0.9, 0.1), (0.2, 0.8), (0.6, 0.4)], np.float32)
    first, second, third = top_losses(np.array([0, 0, 1]), rows, CLASSES)
    assert (first.index, first.true, first.predicted) == (1, "cat", "dog")
    assert (first.probability, first.true_probability) == (pytest.approx(0.8), pytest.approx(0.2))
    assert first.loss == pytest.approx(-math.log(0.2), rel=1e-6)
    assert [second.index, third.index] == [2, 0]


def test_a_true_class_given_no_probability_at_all_has_a_finite_loss() -> None:
    (only,) = top_losses(np.array([0]), np.array([(0, 1)], np.float32), CLASSES)
    assert only.loss == pytest.approx(-math.log(np.finfo(np.float32).eps))


def test_no_more_losses_than_a_gallery_holds() -> None:
    rows = np.random.default_rng(0).dirichlet(np.ones(2), 200).astype(np.float32)
    found = top_losses(np.zeros(200, np.int64), rows, CLASSES)
    assert len(found) == LOSSES
    assert [one.loss for one in found] == sorted((one.loss for one in found), reverse=True)


def test_disagreements_are_images_whose_class_changed_the_largest_difference_first() -> None:
    native = np.array([(0.9, 0.1), (0.51, 0.49), (0.55, 0.45)], np.float32)
    served = np.array([(0.8, 0.2), (0.49, 0.51), (0.2, 0.8)], np.float32)
    found = disagreements(3, native, served, np.array([0, 1, 0]), CLASSES)
    assert [(one.index, one.native, one.served, one.true) for one in found] == [
        (2, "cat", "dog", "cat"),
        (1, "cat", "dog", "dog"),
    ]
    assert {one.row for one in found} == {3}
    assert found[0].difference == pytest.approx(0.35)


def test_no_more_disagreements_than_a_gallery_holds() -> None:
    native = np.tile(np.array([(0.9, 0.1)], np.float32), (50, 1))
    found = disagreements(0, native, native[:, ::-1], np.zeros(50, np.int64), CLASSES)
    assert len(found) == DISAGREEMENTS


def changed_export() -> tuple[Experiment, Summary]:
    """An experiment in which the ONNX export of Keras answers four images otherwise than the native format."""
    one = Experiment(seeds=(0,), arms=("matched",), frameworks=("keras",), skill=1.0)
    run_id = "evaluate-test-digits-matched-keras-s0-onnx"
    probabilities = one.probabilities[run_id].copy()
    probabilities[:4] = np.roll(probabilities[:4], 1, axis=1)
    result = next(r for r in one.results if r.run_id == run_id)
    assert isinstance(result, EvaluateResult)
    accuracy = float((probabilities.argmax(axis=1) == one.labels).mean())
    one.results[one.results.index(result)] = result.model_copy(update={"accuracy": accuracy})
    one.probabilities[run_id] = probabilities
    return one, summarise(one.spec, one.results, one.probabilities, one.labels)


def test_a_summary_lists_the_images_an_export_changed() -> None:
    _, summary = changed_export()
    assert sorted(one.index for one in summary.disagreements) == [0, 1, 2, 3]
    assert {summary.rows[one.row].format for one in summary.disagreements} == {"onnx"}


def test_every_image_of_a_gallery_is_pictured_once() -> None:
    one, summary = changed_export()
    pictures = pictures_of(summary, one.test)
    shown = {loss.index for c in summary.classifications for loss in c.losses} | {0, 1, 2, 3}
    assert set(pictures) == shown
    assert pictured([c.losses for c in summary.classifications] * 2, summary.disagreements) == sorted(shown)
    assert {(picture.width, picture.height) for picture in pictures.values()} == {(8, 8)}
