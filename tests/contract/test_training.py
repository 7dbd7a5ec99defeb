"""How a training starts, reports, stops and continues, in every framework."""

import pytest

from tests.contract import networks
from tests.contract.conftest import Answers

pytestmark = [pytest.mark.contract, pytest.mark.timeout(2700)]


def test_a_resumed_training_ends_with_the_weights_of_an_uninterrupted_one_bit_for_bit(answers: Answers) -> None:
    assert answers.facts["resumed"] == {"equal": True, "epochs": [2]}


every_mode = pytest.mark.parametrize("mode", networks.MODES)


@every_mode
def test_a_training_that_is_told_to_stop_ends_with_that_epochs_validation_and_weights(
    answers: Answers, mode: str
) -> None:
    found = answers.facts[f"stopped/{mode}"]
    assert found["epochs"] == [1]
    stopped, whole = found["validation_losses"]
    assert stopped == whole
    assert found["left"]


def test_a_training_that_was_told_to_stop_goes_on_from_its_checkpoint_bit_for_bit(answers: Answers) -> None:
    assert answers.facts["stopped/matched"]["resumed"]


@every_mode
def test_the_weights_of_an_earlier_epoch_that_are_put_back_predict_what_they_did_then(
    answers: Answers, mode: str
) -> None:
    found = answers.facts[f"stopped/{mode}"]
    assert found["assigned"]
    assert found["gap"] <= 1e-6 < 1e-3 < found["later"]


@pytest.mark.parametrize("pipeline", ["shared", "framework"])
def test_a_cancellation_raised_by_a_step_leaves_fit_unchanged(answers: Answers, pipeline: str) -> None:
    assert answers.facts[f"cancelled/{pipeline}"] == "stopped by the test"


def test_the_last_step_of_an_epoch_is_reported_with_the_partial_batch_counted(answers: Answers) -> None:
    assert answers.facts["digits-cnn/epoch"]["last_step"] == [1, 5, 5]


def test_own_initialisers_depend_on_the_seed_only(answers: Answers) -> None:
    assert answers.facts["initialisers"] == {"same_seed": True, "other_seed": False, "dead": []}


def test_weights_of_the_wrong_shape_are_refused_with_both_shapes(answers: Answers) -> None:
    message = answers.facts["wrong_weights"]
    assert "dense1/kernel" in message
    assert "(3, 2)" in message
    assert "(128, 64)" in message


def test_the_idiomatic_recipe_learns_the_digits(answers: Answers) -> None:
    learned = answers.facts["learned"]
    assert learned["accuracy"] > 0.9
    losses = [metrics["train_loss"] for metrics in learned["metrics"]]
    assert losses[-1] < losses[0] / 2
    assert [metrics["epoch"] for metrics in learned["metrics"]] == list(range(1, networks.EPOCHS_TO_LEARN + 1))


def test_only_fastai_writes_something_for_its_own_users(answers: Answers) -> None:
    assert answers.facts["extras"] == (["learner.pkl"] if answers.framework == "fastai" else [])
