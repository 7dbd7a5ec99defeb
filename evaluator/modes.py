"""Framework or defaults: every pair of frameworks, with their own defaults and with everything equal."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, product
from typing import Any

from core.schemas.recipe import IDIOMATIC, OWN_BATCH_SIZE
from core.schemas.specs import FRAMEWORKS, Framework
from core.schemas.statistics import DefaultsTest, FrameworkTest, SeedTest
from core.schemas.summary import Arm, Group
from evaluator import text
from evaluator.statistics import SEEDS_NEEDED, corrected, differences_by_seed, outcome, seed_test

ORIGINS = ("initializer", "pipeline", "arithmetic")
"""Keys of a recipe whose values are named after the two sides: `framework` or `shared`."""
MODE_KEYS = ("optimizer", *IDIOMATIC)
"""Keys of a recipe that a mode fills in."""
NO_DIFFERENCE = "no difference shown"


def compare(arms: Sequence[Arm], groups: Sequence[Group], tests: Sequence[FrameworkTest]) -> tuple[DefaultsTest, ...]:
    """Every pair of frameworks in every pair of arms that differ in their mode alone; none without such arms.

    Args:
        arms: those that are written in the experiment.
        groups: accuracies by arm and framework.
        tests: every pair of frameworks of every arm; a row takes its two differences from here.
    """
    of = {(one.arm, one.first, one.second): one.test for one in tests}
    rows = [row for own, equal in pairs_of_arms(arms) for row in _rows(own, equal, of, groups)]
    adjusted = iter(corrected([row.moved for row in rows if row.moved]))
    return tuple(_told(row, next(adjusted) if row.moved else None) for row in rows)


def _rows(
    idiomatic: Arm,
    matched: Arm,
    of: Mapping[tuple[str, Framework, Framework], SeedTest],
    groups: Sequence[Group],
) -> Iterator[DefaultsTest]:
    """Uncorrected and without words; a pair that was scored in neither arm has no row."""
    for first, second in combinations(_in_order({*idiomatic.frameworks, *matched.frameworks}), 2):
        own, equal = (of.get((arm.name, first, second)) for arm in (idiomatic, matched))
        if own or equal:
            yield DefaultsTest(
                idiomatic=idiomatic.name,
                matched=matched.name,
                first=first,
                second=second,
                own=own,
                equal=equal,
                moved=_moved(idiomatic.name, matched.name, first, second, groups),
                finding="",
            )


def pairs_of_arms(arms: Sequence[Arm]) -> list[tuple[Arm, Arm]]:
    """Idiomatic and matched arms of one network whose recipes differ in what the mode leaves to the frameworks."""
    idiomatic = [arm for arm in arms if _origins(arm) == {"framework"}]
    matched = [arm for arm in arms if _origins(arm) == {"shared"}]
    return [(own, equal) for own, equal in product(idiomatic, matched) if differ_in_mode_alone(own, equal)]


def _origins(arm: Arm) -> set[str]:
    return {getattr(arm.recipe, key) for key in ORIGINS}


def differ_in_mode_alone(idiomatic: Arm, matched: Arm) -> bool:
    """Whether two arms are of one network and recipe, but for what the mode leaves to the frameworks.

    In how many processes their loaders decode is no part of it: a matched arm has no such loader.
    """
    if idiomatic.architecture != matched.architecture:
        return False
    own, equal = (arm.recipe.model_dump(exclude={"mode", "workers", *ORIGINS}) for arm in (idiomatic, matched))
    if {own["batch_size"]} == {OWN_BATCH_SIZE[framework] for framework in idiomatic.frameworks}:
        # All have the same size of their own, which an arm does not tell from one that is written.
        own["batch_size"] = None
    return all(_left_open(own[key], equal[key]) if key in MODE_KEYS else own[key] == equal[key] for key in own)


def _left_open(own: Any, equal: Any) -> bool:
    """Whether a value is the matched arm's, or none: the framework's."""
    if isinstance(own, dict) and isinstance(equal, dict):
        return own.keys() == equal.keys() and all(_left_open(own[key], equal[key]) for key in own)
    return own is None or own == equal


def _in_order(frameworks: set[Framework]) -> Iterator[Framework]:
    return (one for one in FRAMEWORKS if one in frameworks)


def _moved(
    idiomatic: str, matched: str, first: Framework, second: Framework, groups: Sequence[Group]
) -> SeedTest | None:
    """How far the defaults move the difference, by seed; None where no seed was scored in all four."""
    known = {(group.arm, group.framework): group for group in groups}
    own, equal = (_by_seed(arm, first, second, known) for arm in (idiomatic, matched))
    differences = [own[seed] - equal[seed] for seed in own if seed in equal]
    return seed_test(differences) if differences else None


def _by_seed(
    arm: str, first: Framework, second: Framework, known: Mapping[tuple[str, Framework], Group]
) -> dict[int, float]:
    one, other = known.get((arm, first)), known.get((arm, second))
    return differences_by_seed(one, other) if one and other else {}


def _told(row: DefaultsTest, moved: SeedTest | None) -> DefaultsTest:
    whole = row.model_copy(update={"moved": moved})
    return whole.model_copy(update={"finding": _finding(whole)})


def _finding(row: DefaultsTest) -> str:
    """What may be said: of the difference in either mode, and of what the defaults do to it."""
    if row.own is None or row.equal is None:
        return f"Scored {'matched' if row.own is None else 'with own defaults'} only: nothing to compare."
    if row.moved is None:
        return "No seed was scored in both modes: nothing to compare."
    if row.moved.seeds < SEEDS_NEEDED:
        return f"{few(row.moved.seeds)}: no verdict."
    if {outcome(one) for one in (row.own, row.equal, row.moved)} == {"no difference"}:
        return f"{NO_DIFFERENCE.capitalize()}, and none between the modes."
    return f"{_in_each(row.own, row.equal, row)} {_effect(row.moved, row)}"


def few(seeds: int) -> str:
    """How a number of seeds that allows no verdict is told."""
    return {1: "One seed", 2: "Two seeds"}[seeds]


def _in_each(own: SeedTest, equal: SeedTest, row: DefaultsTest) -> str:
    if {outcome(own), outcome(equal)} == {"no difference"}:
        return f"{NO_DIFFERENCE.capitalize()} in either mode."
    return f"With own defaults {_ahead(own, row)}; matched, {_ahead(equal, row)}."


def _ahead(test: SeedTest, row: DefaultsTest) -> str:
    found = outcome(test)
    if found == "difference":
        return f"{_higher(test, row)} is more accurate"
    return NO_DIFFERENCE if found == "no difference" else "the difference is the same in every seed"


def _effect(moved: SeedTest, row: DefaultsTest) -> str:
    found = outcome(moved)
    if found == "difference":
        return f"The defaults favour {_higher(moved, row)}."
    if found == "no difference":
        return "That the defaults move it is not shown."
    how = "alike" if moved.mean else "by nothing"
    return f"The defaults move it {how} in every seed: cannot be tested."


def _higher(test: SeedTest, row: DefaultsTest) -> str:
    return text.framework(row.first if test.mean > 0 else row.second)
