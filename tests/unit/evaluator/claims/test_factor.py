"""How many times as long: ratios of made-up times: TEST DATA, no figure here was measured."""

from collections.abc import Sequence

import pydantic
import pytest

from core.schemas.study import Claim, Study
from core.schemas.summary import Summary, Training
from evaluator.claims.judge import Finding
from evaluator.claims.verdicts import NOT_TESTED, TIMES_DIFFER
from evaluator.claims.wording import difference, measured, why
from evaluator.studies.chapter import Chapter
from evaluator.studies.page import page
from tests.unit.evaluator.claims.test_judge import EPOCHS, SAME, claim, judge, study, summary

SECOND = (10.0, 11.0, 9.0)
"""Seconds by seed of the second side, PyTorch's."""


def seven_times() -> Study:
    return study(claim(measure="training_seconds", times=7, text="Keras takes seven times as long."))


def timed(whole: Summary, ratios: Sequence[float]) -> Summary:
    """Keras takes this many times as long as PyTorch, by seed."""

    def slowed(one: Training) -> Training:
        total = SECOND[one.seed] * (ratios[one.seed] if one.framework == "keras" else 1)
        history = tuple(epoch.model_copy(update={"train_seconds": total / EPOCHS}) for epoch in one.history)
        return one.model_copy(update={"history": history})

    return whole.model_copy(update={"trainings": tuple(map(slowed, whole.trainings))})


def found(ratios: Sequence[float]) -> Finding:
    of = seven_times()
    return judge(timed(summary(of, SAME), ratios), of)[0]


@pytest.mark.parametrize(
    ("ratios", "verdict", "shown"),
    [
        ((1.05, 1.06, 1.04), "does not hold: less than that", "1.05 times (1.0"),
        ((0.50, 0.51, 0.49), "does not hold: less than that", "0.50 times (0.4"),
        ((6.9, 7.2, 7.0), "no difference from that factor shown", "7.03 times (6."),
        ((20.0, 21.0, 19.0), "holds: more than that", "19.98 times (1"),
    ],
)
def test_the_ratio_of_the_times_is_tested_against_the_factor_and_shown(
    ratios: tuple[float, ...], verdict: str, shown: str
) -> None:
    finding = found(ratios)
    assert finding.verdict == verdict
    assert difference(finding).startswith(f"Keras / PyTorch: {shown}")
    assert why(finding).endswith("; published: 7 times")


@pytest.mark.parametrize("seeds", [(0, 1, 2), (1,)], ids=["every training", "one that stopped early"])
def test_times_of_unequal_work_are_scaled_to_the_studys_epochs_and_lead_to_no_verdict(seeds: tuple[int, ...]) -> None:
    """Equally fast; half of PyTorch's epochs must not make it twice as fast."""
    of = study(claim(measure="training_seconds", times=7), claim(text="Slower.", measure="training_seconds"))
    whole = timed(summary(of, SAME), (1.0, 1.001, 1.002))
    halved = tuple(
        one.model_copy(update={"history": one.history[: EPOCHS // 2]})
        if one.framework == "pytorch" and one.seed in seeds
        else one
        for one in whole.trainings
    )
    first, _, plain, _ = judge(whole.model_copy(update={"trainings": halved}), of)
    assert difference(first).startswith("Keras / PyTorch: 1.00 times")
    assert difference(plain).startswith("Keras − PyTorch: +0.0 s")
    for finding in (first, plain):
        assert finding.verdict == TIMES_DIFFER
        assert finding.incomparable == ("times of different shares of the study's epochs, scaled to all of them",)
    keras, pytorch = measured(first).split(" · ")
    assert keras.endswith("10.0 s"), "which ran all of them"
    assert pytorch.endswith(f"10.0 s ({EPOCHS // 2} epochs, scaled to {EPOCHS})")


def test_seconds_of_fewer_epochs_are_not_held_against_the_published_ones_of_all() -> None:
    epochs = 2 * EPOCHS - 1
    side = claim().first.model_copy(update={"published": 20.0, "epochs": epochs})
    of = study(claim(measure="training_seconds", first=side, second=None))
    finding, _ = judge(timed(summary(of, SAME), (1.0, 1.0, 1.0)), of)
    assert finding.verdict == TIMES_DIFFER
    assert measured(finding).endswith(f"17.5 s ({EPOCHS} epochs, scaled to {epochs})")


def test_twice_and_half_of_the_factor_are_equally_far_from_it() -> None:
    twice, half = (found([factor * one for one in (1.0, 1.1, 1 / 1.1)]).test for factor in (14, 3.5))
    assert twice is not None
    assert half is not None
    assert twice.mean == pytest.approx(-half.mean)
    assert twice.p_value == pytest.approx(half.p_value)


def test_one_seed_of_a_ratio_has_no_interval_and_no_verdict() -> None:
    of = seven_times()
    whole = timed(summary(of, {name: values[:1] for name, values in SAME.items()}, seeds=(0,)), [3.0])
    findings = judge(whole, of)
    assert {finding.verdict for finding in findings} == {NOT_TESTED}
    assert "| Keras / PyTorch: 3.00 times, one seed: no interval |" in page(
        [Chapter("test", whole, of, tuple(findings))]
    )


@pytest.mark.parametrize(
    "document",
    [
        {"times": 0, "measure": "training_seconds", "second": claim().second},
        {"times": 7, "measure": "training_seconds"},
        {"times": 7, "second": claim().second},
    ],
)
def test_a_factor_is_positive_and_of_the_seconds_of_two_sides(document: dict[str, object]) -> None:
    with pytest.raises(pydantic.ValidationError, match="times"):
        Claim.model_validate({"text": "x", "first": claim().first, **document})
