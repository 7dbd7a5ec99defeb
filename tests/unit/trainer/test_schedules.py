"""Rates, the end of a training and its best epoch follow from the recipe and the epochs done."""

import numpy as np
import pytest

from core.epochs import best_epoch, exported_epoch
from core.schemas.metrics import EpochMetrics
from core.schemas.recipe import Recipe
from core.schemas.schedule import (
    Constant,
    Cosine,
    EarlyStopping,
    Exponential,
    OneCycle,
    Plateau,
    Schedule,
    StepDecay,
)
from trainer.schedules import epoch_shares, reductions, stops


def history(*losses: float, accuracies: tuple[float, ...] = ()) -> list[EpochMetrics]:
    given = accuracies or (0.5,) * len(losses)
    return [
        EpochMetrics(
            epoch=epoch,
            train_loss=9.0,
            train_accuracy=0.1,
            validation_loss=loss,
            validation_accuracy=accuracy,
            train_seconds=1.0,
            validation_seconds=1.0,
        )
        for epoch, (loss, accuracy) in enumerate(zip(losses, given, strict=True), 1)
    ]


def whole(schedule: Schedule, epochs: int = 4, steps: int = 5) -> np.ndarray:
    return np.concatenate([epoch_shares(schedule, epoch, epochs, steps, []) for epoch in range(1, epochs + 1)])


def test_a_constant_rate_stays() -> None:
    assert whole(Constant()).tolist() == [1.0] * 20


def test_steps_fall_at_the_end_of_every_so_many_epochs() -> None:
    shares = whole(StepDecay(every=2, factor=0.1), epochs=5, steps=2)
    assert shares == pytest.approx([1, 1, 1, 1, 0.1, 0.1, 0.1, 0.1, 0.01, 0.01])


def test_a_cosine_starts_whole_is_half_way_in_the_middle_and_never_rises() -> None:
    shares = whole(Cosine(final=0.2))
    assert (shares[0], shares[10]) == (1.0, pytest.approx(0.6))
    assert (np.diff(shares) < 0).all()
    assert shares[-1] > 0.2


def test_an_exponential_falls_by_the_same_ratio_every_step() -> None:
    shares = whole(Exponential(final=0.01))
    assert shares[1:] / shares[:-1] == pytest.approx(0.01 ** (1 / 20))


def test_one_cycle_rises_for_its_share_of_the_steps_and_then_falls() -> None:
    shares = whole(OneCycle(first=0.04, final=1e-5, rise=0.25))
    assert shares[0] == pytest.approx(0.04)
    assert shares.argmax() == 5
    assert shares[5] == pytest.approx(1.0)
    assert (np.diff(shares[:6]) > 0).all()
    assert (np.diff(shares[5:]) < 0).all()


@pytest.mark.parametrize("schedule", [Cosine(), Exponential(), OneCycle(), StepDecay(), Plateau()])
def test_a_training_of_one_step_has_one_finite_rate(schedule: Schedule) -> None:
    shares = epoch_shares(schedule, 1, 1, 1, [])
    assert shares.shape == (1,)
    assert np.isfinite(shares).all()


def test_a_plateau_reduces_whenever_its_patience_is_used_up() -> None:
    rule = Plateau(patience=2, factor=0.5, min_delta=0.0)
    losses = [1.0, 0.9, 0.95, 0.9, 0.91, 0.92, 0.5]
    assert [reductions(rule, history(*losses[:n])) for n in range(8)] == [0, 0, 0, 0, 1, 1, 2, 2]
    assert epoch_shares(rule, 5, 9, 3, history(*losses[:4])).tolist() == [0.5] * 3


def test_a_gain_that_is_too_small_counts_as_none() -> None:
    rule = Plateau(patience=1, min_delta=0.1)
    assert reductions(rule, history(1.0, 0.95)) == 1
    assert reductions(rule, history(1.0, 0.85)) == 0


def test_accuracies_rise_when_things_get_better() -> None:
    values = history(1, 1, 1, accuracies=(0.5, 0.9, 0.7))
    assert best_epoch("validation_accuracy", values) == 2
    assert reductions(Plateau(monitor="validation_accuracy", patience=1), values) == 1


def test_early_stopping_waits_for_its_patience() -> None:
    rule = EarlyStopping(patience=2)
    losses = [1.0, 0.9, 0.95, 0.91]
    assert [stops(rule, history(*losses[:n])) for n in range(5)] == [False, False, False, False, True]
    assert not stops(None, history(*losses))


def test_an_epoch_that_is_better_starts_the_patience_anew() -> None:
    assert not stops(EarlyStopping(patience=2), history(1.0, 1.1, 0.9, 1.1))


def test_the_first_of_equal_epochs_is_the_best_and_the_last_epoch_is_exported_unless_asked() -> None:
    values = history(0.5, 0.4, 0.4, 0.6)
    assert best_epoch("validation_loss", values) == 2
    assert exported_epoch(Recipe(mode="matched", epochs=4), values) == 4
    assert exported_epoch(Recipe(mode="matched", epochs=4, keep_best="validation_loss"), values) == 2
