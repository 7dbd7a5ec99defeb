"""Repeats over seeds, and when two accuracies differ."""

import math
import statistics
from collections import Counter
from collections.abc import Collection, Sequence
from itertools import combinations
from typing import Literal

import numpy as np
from scipy.stats import t as student

from core.schemas.names import Framework
from core.schemas.statistics import FrameworkTest, SeedTest
from core.schemas.summary import Group, Spread
from evaluator import text
from evaluator.intervals import CONFIDENCE
from evaluator.paired import ALPHA, holm

Interval = tuple[float, float]
Outcome = Literal["difference", "no difference", "no spread", "few seeds"]
SEEDS_NEEDED = 3
"""Two seeds that agree by chance look as sure as two that agree for a reason."""
ROUNDING = 1e-12
"""What adding and subtracting a few figures of about one loses; the smallest real step, one image, is far above it."""


def spread(values: Sequence[float]) -> Spread | None:
    """Mean, sample standard deviation and extremes; None for no values."""
    if not values:
        return None
    return Spread(
        count=len(values),
        mean=statistics.fmean(values),
        std=statistics.stdev(values) if len(values) > 1 else None,
        minimum=min(values),
        maximum=max(values),
        interval=mean_interval(values),
    )


def mean_interval(values: Sequence[float]) -> Interval | None:
    """Student's t interval of the mean at 95 % (Student 1908); None for fewer than two values and without spread."""
    if len(values) < 2 or not has_spread(values):
        return None
    half = float(student.ppf((1 + CONFIDENCE) / 2, len(values) - 1)) * statistics.stdev(values) / math.sqrt(len(values))
    mean = statistics.fmean(values)
    return mean - half, mean + half


def has_spread(values: Sequence[float]) -> bool:
    """False where the values differ by no more than rounding: nothing is known then about how they would vary."""
    return not np.allclose(values, values[0], rtol=ROUNDING, atol=ROUNDING)


def seed_test(differences: Sequence[float]) -> SeedTest:
    """The mean of at least one difference, with the two-sided t test that it is zero.

    No p value for fewer than three seeds, and none without spread (the same artefact twice, or one image in each
    seed): a standard error of zero would make any luck certain.
    """
    mean, count, interval = statistics.fmean(differences), len(differences), mean_interval(differences)
    if count < SEEDS_NEEDED or interval is None:
        return SeedTest(seeds=count, mean=mean, interval=interval, p_value=None)
    error = statistics.stdev(differences) / math.sqrt(count)
    return SeedTest(
        seeds=count, mean=mean, interval=interval, p_value=2 * float(student.sf(abs(mean) / error, count - 1))
    )


def of_one_run(test: SeedTest) -> SeedTest:
    """The same test of the difference that one further seed would have, for what is held against a figure of one run.

    Prediction interval of one value and its t test (Hahn and Meeker 1991): s·√(1 + 1/n) in place of s/√n.
    """
    if test.interval is None:
        return test
    half = (test.interval[1] - test.mean) * math.sqrt(test.seeds + 1)
    error = half / float(student.ppf((1 + CONFIDENCE) / 2, test.seeds - 1))
    p_value = None if test.p_value is None else 2 * float(student.sf(abs(test.mean) / error, test.seeds - 1))
    return test.model_copy(update={"interval": (test.mean - half, test.mean + half), "p_value": p_value})


def corrected(tests: Sequence[SeedTest]) -> list[SeedTest]:
    """The tests with Holm's correction for all of them together; those without a p value take no part."""
    adjusted = iter(holm([test.p_value for test in tests if test.p_value is not None]))
    return [test if test.p_value is None else test.model_copy(update={"p_adjusted": next(adjusted)}) for test in tests]


def framework_tests(groups: Sequence[Group], added: Collection[str] = ()) -> tuple[FrameworkTest, ...]:
    """Every pair of frameworks of every arm, over the seeds both were scored with, corrected for all of them.

    Args:
        added: arms that an attribution adds between those that are written. They are steps to its answer and no
            questions of the experiment, so they are corrected among themselves and weaken nothing else.
    """
    pairs = []
    for arm in dict.fromkeys(group.arm for group in groups):
        for first, second in combinations([group for group in groups if group.arm == arm], 2):
            if differences := paired_differences(first, second):
                pairs.append((first, second, seed_test(differences)))
    families = {
        kind: iter(corrected([test for one, _, test in pairs if (one.arm in added) == kind])) for kind in (False, True)
    }
    return tuple(
        FrameworkTest(
            arm=first.arm, first=first.framework, second=second.framework, test=next(families[first.arm in added])
        )
        for first, second, _ in pairs
    )


def paired_differences(first: Group, second: Group) -> list[float]:
    """Accuracy of the first minus the second, for the seeds both have."""
    return list(differences_by_seed(first, second).values())


def differences_by_seed(first: Group, second: Group) -> dict[int, float]:
    """Seed to accuracy of the first minus the second, for the seeds both have."""
    others = {seed.seed: seed.accuracy for seed in second.seeds}
    return {seed.seed: seed.accuracy - others[seed.seed] for seed in first.seeds if seed.seed in others}


def outcome(test: SeedTest) -> Outcome:
    """What a corrected test says of two frameworks; nothing of fewer than three seeds, and nothing without spread."""
    if test.seeds < SEEDS_NEEDED:
        return "few seeds"
    if test.p_adjusted is None:
        return "no spread"
    return "difference" if test.p_adjusted < ALPHA else "no difference"


def ranked(one: FrameworkTest) -> tuple[Framework, Framework]:
    """The two frameworks, the one with the higher mean accuracy first."""
    return (one.first, one.second) if one.test.mean > 0 else (one.second, one.first)


def overlap(first: Interval, second: Interval) -> bool:
    """True when two intervals share a value: then no difference is shown.

    A cautious rule: intervals that overlap a little may still belong to different accuracies, intervals apart hardly
    to equal ones.
    """
    return first[0] <= second[1] and second[0] <= first[1]


def between_frameworks(groups: Sequence[Group]) -> float | None:
    """Largest difference of mean accuracies; None for fewer than two frameworks."""
    means = [group.accuracy.mean for group in groups if group.accuracy]
    return max(means) - min(means) if len(means) > 1 else None


def between_seeds(groups: Sequence[Group]) -> float | None:
    """Largest range of one framework's accuracies; None where every framework has one seed."""
    ranges = [group.accuracy.range for group in groups if group.accuracy and group.accuracy.count > 1]
    return max(ranges) if ranges else None


UNDECIDED: dict[Outcome, str] = {
    "no difference": "no difference shown",
    "no spread": "the same difference in every seed, so no test",
    "few seeds": "too few seeds",
}
"""Outcomes that name no framework, as they are told."""


def finding(groups: Sequence[Group], tests: Sequence[FrameworkTest]) -> str:
    """How far apart an arm's frameworks and their seeds lie, and what the paired tests over seeds say of that.

    Args:
        groups: those of the arm.
        tests: those of `framework_tests` that are of the arm; a pair without a common seed has none.
    """
    apart, repeat = between_frameworks(groups), between_seeds(groups)
    if apart is None:
        return "Fewer than two frameworks were scored as ONNX, so there is nothing to compare."
    seeds = "" if repeat is None else f"; seeds of one framework within {text.points(repeat)}"
    pairs = math.comb(sum(group.accuracy is not None for group in groups), 2)
    return f"The frameworks’ mean accuracies lie within {text.points(apart)}{seeds}. {_decided(tests, pairs)}"


def _decided(tests: Sequence[FrameworkTest], pairs: int) -> str:
    counts = Counter(outcome(one.test) for one in tests)
    counts["few seeds"] += pairs - len(tests)
    if counts["few seeds"] == pairs:
        return f"Too few seeds to tell which is more accurate: a test takes {SEEDS_NEEDED}."
    told = _leads(tests)
    for kind, words in UNDECIDED.items():
        if counts[kind]:
            told.append(words if counts[kind] == pairs else f"{words} for {counts[kind]} of {pairs} pairs")
    return f"Paired t tests over seeds, corrected by Holm: {'; '.join(told)}."


def _leads(tests: Sequence[FrameworkTest]) -> list[str]:
    """Which framework is more accurate than which others."""
    behind: dict[Framework, list[str]] = {}
    for better, worse in (ranked(one) for one in tests if outcome(one.test) == "difference"):
        behind.setdefault(better, []).append(text.framework(worse))
    return [f"{text.framework(name)} is more accurate than {text.names(others)}" for name, others in behind.items()]
