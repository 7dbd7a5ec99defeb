"""Temperature and threshold. Data drawn from a known model, so that the right answer is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluator import operating


def drawn(temperature: float, images: int = 20_000, classes: int = 3, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Labels that follow softmax(logits), and probabilities softmax(temperature · logits): too sure above one."""
    rng = np.random.default_rng(seed)
    logits = 2 * rng.normal(size=(images, classes))
    true = operating.tempered(np.exp(logits), 1.0)
    labels = (true.cumsum(axis=1) > rng.random((images, 1))).argmax(axis=1)
    return labels, operating.tempered(np.exp(logits), 1 / temperature).astype(np.float32)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_temperature_that_made_a_model_too_sure_is_found_again(temperature):
    assert operating.fit_temperature(*drawn(temperature)) == pytest.approx(temperature, rel=0.05)


def test_a_fitted_temperature_lowers_the_calibration_error_and_the_log_loss_on_other_images():
    test = drawn(2.5, seed=2)
    chosen = operating.choose(drawn(2.5, seed=1), test, ("a", "b", "c"))
    before = operating.calibration(test[0], test[1].astype(np.float64)).error
    assert chosen.temperature.calibration.error < before / 5
    assert chosen.images == 20_000
    assert chosen.threshold is None


def test_a_validation_split_without_a_mistake_gives_the_end_of_the_range_not_an_error():
    labels = np.array([0, 1, 1])
    sure = np.array([[0.9, 0.1], [0.1, 0.9], [0.2, 0.8]], np.float32)
    assert operating.fit_temperature(labels, sure) == pytest.approx(1 / operating.HOTTEST, rel=0.01)


def test_probabilities_of_zero_and_one_do_not_break_the_fit():
    labels = np.array([0, 1, 0])
    hard = np.array([[1, 0], [0, 1], [0, 1]], np.float32)
    assert np.isfinite(operating.fit_temperature(labels, hard))


@settings(deadline=None, max_examples=50)
@given(st.floats(0.06, 19), st.integers(0, 99))
def test_a_temperature_changes_no_answer_and_rows_still_sum_to_one(temperature, seed):
    probabilities = drawn(1.0, images=20, seed=seed)[1]
    warm = operating.tempered(probabilities, temperature)
    np.testing.assert_allclose(warm.sum(axis=1), 1)
    np.testing.assert_array_equal(warm.argmax(axis=1), probabilities.argmax(axis=1))


def test_the_threshold_lies_halfway_between_the_classes_it_parts():
    positive = np.array([False, False, True, True])
    assert operating.best_threshold(positive, np.array([0.1, 0.2, 0.3, 0.9])) == pytest.approx(0.25)


def test_a_rare_class_gets_a_low_threshold_which_finds_more_of_it():
    rng = np.random.default_rng(3)
    labels = (rng.random(4000) < 0.1).astype(np.int64)
    score = np.clip(0.15 + 0.15 * labels + 0.08 * rng.normal(size=4000), 0.001, 0.999)
    rows = np.stack([1 - score, score], axis=1).astype(np.float32)
    half = len(labels) // 2
    chosen = operating.choose((labels[:half], rows[:half]), (labels[half:], rows[half:]), ("no", "yes"))
    assert chosen.threshold is not None
    assert chosen.threshold.positive == "yes"
    assert chosen.threshold.value == pytest.approx(0.225, abs=0.03)
    assert chosen.threshold.test.sensitivity > 0.7
    assert chosen.threshold.test_at_half.sensitivity < 0.1


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 10)), min_size=2, max_size=30))
def test_no_threshold_beats_the_chosen_one(pairs):
    positive = np.array([one for one, _ in pairs])
    score = np.array([number / 10 for _, number in pairs])
    if positive.all() or not positive.any():
        return
    chosen = operating.rates(positive, score >= operating.best_threshold(positive, score))
    for value in np.linspace(-0.05, 1.05, 23):
        other = operating.rates(positive, score >= value)
        assert chosen.sensitivity + chosen.specificity >= other.sensitivity + other.specificity - 1e-9


def test_one_class_alone_in_validation_gives_no_threshold():
    rows = np.array([[0.4, 0.6], [0.3, 0.7]], np.float32)
    ones = np.array([1, 1])
    assert operating.choose((ones, rows), (np.array([0, 1]), rows), ("no", "yes")).threshold is None


def test_rates_count_each_kind_of_decision():
    positive = np.array([True, True, True, False, False])
    called = np.array([True, True, False, True, False])
    found = operating.rates(positive, called)
    assert (found.sensitivity, found.specificity, found.precision) == (2 / 3, 1 / 2, 2 / 3)
    assert (found.accuracy, found.f1) == (3 / 5, 2 / 3)
