from typing import Any

import numpy as np
import pytest

from core.errors import InvalidInputError
from core.schemas.specs import EvaluateSpec
from evaluator.passes import TEST, VALIDATION, Pass, judge, passes

CLASSES = ("a", "b", "c")


def spec(**changes: Any) -> EvaluateSpec:
    given = {"model": "m", "version": 1, "artifact": "0" * 64, "runtime": "onnxruntime", "data": "1" * 64}
    return EvaluateSpec.model_validate(given | changes)


def certain(labels: np.ndarray) -> np.ndarray:
    return (0.9 * np.eye(3)[labels] + 0.1 / 3).astype(np.float32)


def test_the_validation_split_is_scored_unless_it_is_empty_or_not_wanted():
    assert passes(spec(), 5) == (TEST, VALIDATION)
    assert passes(spec(), 0) == (TEST,)
    assert passes(spec(calibrate=False), 5) == (TEST,)


def test_each_corruption_is_scored_at_five_severities_under_names_of_their_own():
    names = [one.name for one in passes(spec(corruptions=("noise", "jpeg")), 0)]
    assert names[:3] == ["test", "test-noise-1", "test-noise-2"]
    assert len(set(names)) == 11


def test_results_say_what_was_scored_and_nothing_else():
    labels = np.arange(30) % 3
    found = judge({"test": labels}, {TEST: certain(labels)}, CLASSES)
    assert found["accuracy"] == 1
    assert found["operating"] is None
    assert found["robustness"] == ()


def test_a_corrupted_pass_gives_its_own_accuracy_with_an_interval():
    labels = np.arange(30) % 3
    worse = np.where(np.arange(30) < 10, (labels + 1) % 3, labels)
    everything = {TEST: certain(labels), VALIDATION: certain(labels), Pass("test", "blur", 2): certain(worse)}
    found = judge({"test": labels, "validation": labels}, everything, CLASSES)
    (one,) = found["robustness"]
    assert (one.corruption, one.severity, one.accuracy) == ("blur", 2, pytest.approx(2 / 3))
    assert one.interval[0] < 2 / 3 < one.interval[1]
    assert found["operating"].images == 30


@pytest.mark.parametrize("one", [TEST, VALIDATION, Pass("test", "blur", 2)])
@pytest.mark.parametrize("count", [1, 29])
def test_predictions_that_do_not_fit_their_split_are_refused_with_the_name_of_the_pass(one, count):
    labels = np.arange(30) % 3
    found = {TEST: certain(labels), VALIDATION: certain(labels)} | {one: certain(labels)[:count]}
    with pytest.raises(InvalidInputError, match=rf"^{one.name}: probabilities have shape \[{count}, 3\]"):
        judge({"test": labels, "validation": labels}, found, CLASSES)
