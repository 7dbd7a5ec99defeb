"""Divides the gap between two frameworks among the defaults they were given."""

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise

from core.schemas.attribution import Attribution, AttributionPlan, Share
from core.schemas.statistics import SeedTest
from core.schemas.summary import Group
from evaluator.statistics import corrected, seed_test

Gaps = Mapping[int, float]
"""Seed to accuracy of the first framework minus the second."""


def planned(spec_json: str) -> AttributionPlan | None:
    """The plan of a frozen experiment; None where it attributes nothing."""
    plan = json.loads(spec_json).get("attribution")
    return AttributionPlan.model_validate(plan) if plan else None


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
    together = seed_test(_minus(_sum(moved, plan.steps), _sum(single, plan.singles))) if plan.alone else None
    return counted_once(
        Attribution(
            between=plan.between,
            arms=plan.arms,
            start=seed_test(gap[plan.arms[0]]),
            end=seed_test(gap[plan.arms[1]]),
            shares=tuple(_share(key, arm, gap, moved) for key, arm in zip(plan.order, plan.steps, strict=True)),
            rest=seed_test(moved[plan.arms[1]]),
            alone=tuple(_share(key, arm, gap, single) for key, arm in zip(plan.order, plan.singles, strict=False)),
            interaction=together,
        )
    )


def counted_once(found: Attribution) -> Attribution:
    """The same with its changes, the rest and the interaction corrected together.

    The first switch alone is the first of those that stay made, one recipe: it counts once, and is one figure.
    """
    alone = found.alone and (found.shares[0], *found.alone[1:])
    changes = [*(share.change for share in (*found.shares, *alone[1:])), found.rest]
    together = [] if found.interaction is None else [found.interaction]
    tests = iter(corrected([*changes, *together]))
    shares = tuple(_changed(share, next(tests)) for share in found.shares)
    others = tuple(_changed(share, next(tests)) for share in alone[1:])
    return found.model_copy(
        update={
            "shares": shares,
            "alone": alone and (shares[0], *others),
            "rest": next(tests),
            "interaction": next(tests, None),
        }
    )


def _changed(share: Share, change: SeedTest) -> Share:
    return share.model_copy(update={"change": change})


def _gaps(arm: str, plan: AttributionPlan, groups: Sequence[Group]) -> Gaps:
    of = {group.framework: {seed.seed: seed.accuracy for seed in group.seeds} for group in groups if group.arm == arm}
    first, second = (of.get(framework, {}) for framework in plan.between)
    return {seed: first[seed] - second[seed] for seed in first.keys() & second.keys()}


def _share(key: str, arm: str, gap: Mapping[str, list[float]], changes: Mapping[str, list[float]]) -> Share:
    return Share(key=key, arm=arm, gap=seed_test(gap[arm]), change=seed_test(changes[arm]))


def _minus(first: Sequence[float], second: Sequence[float]) -> list[float]:
    return [a - b for a, b in zip(first, second, strict=True)]


def _sum(changes: Mapping[str, list[float]], arms: Sequence[str]) -> list[float]:
    return [sum(values) for values in zip(*(changes[arm] for arm in arms), strict=True)]
