"""Idiomatic against matched, on synthetic summaries: TEST DATA, no figure here was measured."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from core.schemas.study import Study
from core.schemas.summary import SeedAccuracy, Summary
from evaluator.studies.chapter import Chapter
from evaluator.studies.defaults import shift_line, shifts
from evaluator.studies.page import page
from tests.unit.evaluator.claims.test_judge import judge, study, summary

PYTORCH = [0.970, 0.972, 0.971]


def moved(of: Study, idiomatic: Sequence[float], matched: Sequence[float]) -> Summary:
    """Keras is ahead of PyTorch by these shares, by seed."""
    whole = summary(of, {"keras": PYTORCH, "pytorch": PYTORCH})
    ahead = {("keras", "idiomatic"): idiomatic, ("keras", "matched"): matched}
    groups = []
    for group in whole.groups:
        values = ahead.get((group.framework, group.arm), (0.0, 0.0, 0.0))
        seeds = tuple(
            SeedAccuracy(seed=one.seed, accuracy=one.accuracy + more, interval=one.interval)
            for one, more in zip(group.seeds, values, strict=True)
        )
        groups.append(group.model_copy(update={"seeds": seeds}))
    return whole.model_copy(update={"groups": tuple(groups)})


def told(of: Study, whole: Summary) -> str:
    return page([Chapter("test", whole, of, tuple(judge(whole, of)))])


def test_defaults_move_a_difference_only_where_the_paired_test_says_so() -> None:
    of = study()
    clear = told(of, moved(of, (0.020, 0.021, 0.022), (0.001, 0.002, -0.001)))
    assert "The defaults move it by +2.03 points (+" in clear
    assert "; own defaults minus everything equal), p " in clear
    luck = told(of, moved(of, (0.020, -0.010, 0.005), (0.001, 0.002, -0.001)))
    assert "Whether the defaults move it: no difference shown, +0.43 points (-" in luck
    assert "The defaults move it" not in luck


def test_the_test_is_of_the_differences_of_one_seed() -> None:
    """A difference that varies from seed to seed, alike in both modes, hides no shift."""
    of = study()
    whole = moved(of, (0.050, 0.011, -0.029), (0.040, 0.0, -0.040))
    (shift,) = shifts([judge(whole, of)])
    assert shift.test.p_value is not None
    assert shift.test.p_value < 0.01


def test_a_shift_without_spread_cannot_be_tested() -> None:
    of = study()
    same = (0.020, 0.021, 0.023)
    assert "Whether the defaults move it cannot be tested: +0.00 points" in told(of, moved(of, same, same))


def test_nothing_is_said_of_a_shift_at_a_scale_without_verdicts() -> None:
    of = study(images=10**6)
    assert shifts([judge(moved(of, (0.020, 0.021, 0.022), (0.001, 0.002, -0.001)), of)]) == []


def test_a_shift_says_both_differences_as_the_claim_was_tested_with_them() -> None:
    of = study()
    found = judge(moved(of, (0.020, 0.021, 0.022), (0.001, 0.002, -0.001)), of)
    (shift,) = shifts([found])
    assert [shift.idiomatic, shift.matched] == found
    told = shift_line(shift, "one", "two")
    assert (
        " Published: +1.00 points. Measured over 3 seeds: +2.10 points with each framework's own defaults ([one](#one))"
        in told
    )
    assert ", +0.07 with everything equal but the framework's kernels ([two](#two))." in told


def test_a_shift_is_of_the_seeds_that_both_modes_have() -> None:
    of = study()
    idiomatic, matched = judge(moved(of, (0.020, 0.021, 0.022), (0.001, 0.002, -0.001)), of)
    keras, pytorch = matched.sides
    more = replace(
        matched,
        sides=(
            replace(keras, by_seed={**keras.by_seed, 3: 0.5}),
            replace(pytorch, by_seed={**pytorch.by_seed, 3: 0.1}),
        ),
    )
    (shift,) = shifts([[idiomatic, more]])
    assert shift.test.seeds == 3
    own, equal = shift.differences
    assert own - equal == pytest.approx(shift.test.mean)
    assert ", +0.07 with everything equal" in shift_line(shift, "one", "two")


def test_a_shift_joins_two_results_of_one_study_that_trained_alike() -> None:
    of = study()
    found = judge(moved(of, (0.020, 0.021, 0.022), (0.001, 0.002, -0.001)), of)
    idiomatic, matched = found
    elsewhere = replace(matched, claim=matched.claim.model_copy(update={"reason": "another file's words"}))
    (shift,) = shifts([[elsewhere], [idiomatic]])
    assert shift.matched is elsewhere
    assert shifts([[idiomatic], [replace(elsewhere, data="another split")]]) == []
    arm = elsewhere.sides[0].trained
    assert arm
    smooth = arm.model_copy(update={"recipe": arm.recipe.model_copy(update={"label_smoothing": 0.1})})
    overridden = replace(elsewhere, sides=tuple(replace(side, trained=smooth) for side in elsewhere.sides))
    assert shifts([[idiomatic], [overridden]]) == []
    assert shifts([[idiomatic], [idiomatic]]) == []


def test_a_result_with_both_modes_is_not_paired_with_another_one() -> None:
    of = study()
    found, again = (judge(moved(of, (0.020, 0.021, 0.022), (0.001, 0.002, -0.001)), of) for _ in range(2))
    assert [shift.matched for shift in shifts([found, again])] == [found[1], again[1]]
    assert all(a.matched is b for a, b in zip(shifts([found, again]), (found[1], again[1]), strict=True))


def test_a_shift_is_told_once_for_its_study_and_names_both_results() -> None:
    of = study()
    whole = moved(of, (0.020, 0.021, 0.022), (0.001, 0.002, -0.001))
    idiomatic, matched = judge(whole, of)
    one, two = Chapter("one", whole, of, (matched,)), Chapter("two", whole, of, (idiomatic,))
    told = page([one, two])
    assert told.count("**Framework or defaults?**") == 1
    assert "own defaults ([two](#two))" in told
    assert "kernels ([one](#one))" in told
