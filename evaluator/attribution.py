"""Divides the gap between two frameworks among the defaults they were given."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

from core.schemas.attribution import Attribution, AttributionPlan, Share
from core.schemas.statistics import SeedTest
from core.schemas.summary import Group
from evaluator.statistics import corrected, seed_test

Gaps = Mapping[int, float]
"""Seed to accuracy of the first framework minus the second."""


def attribute(plan: AttributionPlan, groups: Sequence[Group]) -> Attribution | None:
    """Follows the plan's arms; None where an arm of the path has no seed that both frameworks share with all others.

    The gap is measured per seed, and so is every change of it: the changes of one seed add up to end minus start. The p
    values of all changes, the rest and the interaction too, are corrected together.
    """
    names = (plan.arms[0], *plan.steps, plan.arms[1], *plan.singles)
    found = {name: _gaps(name, plan, groups) for name in names}
    seeds = sorted(set.intersection(*(set(gaps) for gaps in found.values())))
    if not seeds:
        return None
    gap = {name: [gaps[seed] for seed in seeds] for name, gaps in found.items()}
    path = (plan.arms[0], *plan.steps, plan.arms[1])
    moved = {arm: _minus(gap[arm], gap[before]) for before, arm in pairwise(path)}
    single = {arm: _minus(gap[arm], gap[plan.arms[0]]) for arm in plan.singles}
    together = [_minus(_sum(moved, plan.steps), _sum(single, plan.singles))] if plan.alone else []
    changes = [*moved.values(), *single.values(), *together]
    tests = corrected([seed_test(differences) for differences in changes])
    moves, singles = (
        dict(zip(moved, tests, strict=False)),
        dict(zip(single, tests[len(moved) :], strict=False)),
    )
    return Attribution(
        between=plan.between,
        arms=plan.arms,
        start=seed_test(gap[plan.arms[0]]),
        end=seed_test(gap[plan.arms[1]]),
        shares=tuple(_share(key, arm, gap, moves) for key, arm in zip(plan.order, plan.steps, strict=True)),
        rest=moves[plan.arms[1]],
        alone=tuple(_share(key, arm, gap, singles) for key, arm in zip(plan.order, plan.singles, strict=False)),
        interaction=tests[-1] if plan.alone else None,
    )


def _gaps(arm: str, plan: AttributionPlan, groups: Sequence[Group]) -> Gaps:
    of = {group.framework: {seed.seed: seed.accuracy for seed in group.seeds} for group in groups if group.arm == arm}
    first, second = (of.get(framework, {}) for framework in plan.between)
    return {seed: first[seed] - second[seed] for seed in first.keys() & second.keys()}


def _share(key: str, arm: str, gap: Mapping[str, list[float]], changes: Mapping[str, SeedTest]) -> Share:
    return Share(key=key, arm=arm, gap=seed_test(gap[arm]), change=changes[arm])


def _minus(first: Sequence[float], second: Sequence[float]) -> list[float]:
    return [a - b for a, b in zip(first, second, strict=True)]


def _sum(changes: Mapping[str, list[float]], arms: Sequence[str]) -> list[float]:
    return [sum(values) for values in zip(*(changes[arm] for arm in arms), strict=True)]
