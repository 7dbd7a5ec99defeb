"""The rule at its edges; the frameworks' part is the contract suite's."""

from math import inf, log, nan

import numpy as np
import pytest

from core.errors import DivergedError
from core.schemas.metrics import EpochMetrics
from trainer.divergence import EXPLODED, Divergence
from trainer.weights import Weights

FINE: Weights = {"dense1/kernel": np.full(3, 1e30)}


def metrics(train: float, validation: float = 0.5, epoch: int = 2) -> EpochMetrics:
    return EpochMetrics(
        epoch=epoch,
        train_loss=train,
        train_accuracy=0.1,
        validation_loss=validation,
        validation_accuracy=0.1,
        train_seconds=1.0,
        validation_seconds=0.1,
    )


def watch(classes: int = 10, first: float | None = None) -> Divergence:
    return Divergence(classes, "do something", first)


@pytest.mark.parametrize("loss", [nan, inf, -inf])
def test_a_step_whose_loss_is_not_finite_is_named(loss: float) -> None:
    with pytest.raises(
        DivergedError, match=rf"^training diverged: loss {loss} at epoch 2, step 3 of 34; do something$"
    ):
        watch().step(2, 3, 34, loss)


def test_any_finite_loss_of_a_step_passes() -> None:
    watch().step(1, 2, 9, 1e300)


def test_an_epoch_may_have_just_so_many_times_the_loss_of_a_guess() -> None:
    limit = EXPLODED * log(10)
    watch().epoch(metrics(limit), lambda: FINE)
    with pytest.raises(DivergedError, match=r"loss 2302.59 at epoch 2 is the epoch's mean, more than 1000 times the 2"):
        watch().epoch(metrics(np.nextafter(limit, inf)), lambda: FINE)


def test_a_training_that_began_with_a_larger_loss_may_have_more() -> None:
    found = watch()
    found.step(1, 1, 9, 100.0)
    found.epoch(metrics(100_000.0), lambda: FINE)
    with pytest.raises(DivergedError, match="more than 1000 times the 100 it began with; do something"):
        found.epoch(metrics(100_001.0), lambda: FINE)


@pytest.mark.parametrize(("epoch", "done"), [(1, 2), (2, 1)])
def test_only_the_very_first_step_counts_as_the_beginning(epoch: int, done: int) -> None:
    found = watch()
    found.step(epoch, done, 9, 1e9)
    assert found.first is None


def test_a_single_class_has_a_limit_too() -> None:
    watch(classes=1).epoch(metrics(1.0), lambda: FINE)


@pytest.mark.parametrize("bad", [nan, inf, -inf])
def test_weights_that_are_not_finite_are_named_with_epoch_step_and_loss(bad: float) -> None:
    found = watch()
    found.step(2, 9, 9, 0.25)
    weights = {**FINE, "norm1/moving_variance": np.array([1.0, bad])}
    expected = (
        "weights norm1/moving_variance are not finite after epoch 2, step 9 of 9, whose epoch had a mean loss of 0.25"
    )
    with pytest.raises(DivergedError, match=expected):
        found.epoch(metrics(0.25), lambda: weights)


def test_a_validation_loss_that_is_not_finite_is_not_blamed_on_a_step() -> None:
    with pytest.raises(DivergedError, match="loss nan at the validation of epoch 2"):
        watch().epoch(metrics(0.5, validation=nan), lambda: FINE)


def test_a_mean_that_is_not_finite_ends_a_training_too() -> None:
    with pytest.raises(DivergedError, match="loss inf at epoch 2; do something"):
        watch().epoch(metrics(inf), lambda: FINE)
