"""A finding as people read it: the cells of every table that has one."""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from core.schemas.statistics import SeedTest
from core.schemas.study import Claim, Measure
from evaluator import text
from evaluator.claims.arms import bare_arm
from evaluator.claims.judge import Finding, Measured
from evaluator.claims.levels import AT_CHANCE
from evaluator.statistics import of_one_run
from evaluator.text import MISSING

OF_WHAT: dict[Measure, str] = {
    "accuracy": "",
    "recall": " (recall of {of_class})",
    "train_accuracy": " (training images)",
    "validation_accuracy": " (validation images)",
    "training_seconds": "",
    "fit_seconds": " (with validation)",
}


def work(finding: Finding) -> tuple[str, str, str]:
    """How many training images, epochs and seeds are behind it; epochs of both sides where they differ."""
    epochs = " / ".join(dict.fromkeys(side.work.cell for side in finding.sides)) or "0"
    return f"{finding.images:,}", epochs, str(finding.seeds)


def measured(finding: Finding) -> str:
    """The means of both sides, over the seeds that both have; a dash where nothing was trained."""
    common = set.intersection(*(set(side.by_seed) for side in finding.sides)) if finding.sides else set()
    return " · ".join(_mean(side, finding, common) for side in finding.sides if side.by_seed) or MISSING


def difference(finding: Finding) -> str:
    """Mean and interval of first minus second; of first by second where the claim is a number of times."""
    test = finding.test
    if test is None:
        return MISSING
    show, unit = _units(finding.claim)
    named = f"{_sides(finding)}: " if finding.claim.is_about_time and finding.claim.second else ""
    longer = _longer(finding, test)
    if test.interval is None:
        few = "one seed" if test.seeds == 1 else "the same in every seed"
        return f"{named}{show(test.mean)} {unit}{longer}, {few}: no interval"
    (low, high), note = possible(finding, test.interval)
    return f"{named}{show(test.mean)} {unit} ({show(low)} to {show(high)}{note}){longer}"


def compared(finding: Finding) -> str:
    """`Keras − PyTorch, cnn`: both sides, and the arm where they share it and it says more than the mode."""
    arms = {bare_arm(side.shown, finding.mode) for side in finding.sides}
    shared = f", {arms.pop()}" if len(arms) == 1 and "" not in arms else ""
    return f"{' − '.join(side_names(finding))}{shared}"


def side_names(finding: Finding) -> tuple[str, ...]:
    """The frameworks; with the arms where these differ too."""
    arms = [bare_arm(side.shown, finding.mode) for side in finding.sides]
    frameworks = [text.framework(side.side.framework) for side in finding.sides]
    if len(set(arms)) == 1:
        return tuple(frameworks)
    return tuple(f"{framework} {arm}".strip() for framework, arm in zip(frameworks, arms, strict=True))


def _sides(finding: Finding) -> str:
    return (" / " if finding.claim.times is not None else " − ").join(side_names(finding))


def _longer(finding: Finding, test: SeedTest) -> str:
    """Which side took longer, since of a difference alone a reader has to look up the order."""
    if not finding.claim.is_about_time or finding.claim.second is None or finding.claim.times is not None:
        return ""
    return f", {side_names(finding)[0 if test.mean > 0 else 1]} longer"


def _units(claim: Claim) -> tuple[Callable[[float], str], str]:
    """How a claim's differences are written, and their unit."""
    if claim.times is not None:
        return partial(_ratio, claim.times), "times"
    return (_seconds, "s") if claim.is_about_time else (text.bare_points, "points")


def why(finding: Finding, said: Sequence[str] = ()) -> str:
    """What the verdict rests on, beyond what is said already."""
    if not finding.testable:
        return "; ".join(why for why in finding.reasons if why not in said) or "as above"
    return "; ".join(_grounds(finding))


def _grounds(finding: Finding) -> Iterator[str]:
    test = finding.test
    if test and test.p_value is not None and test.p_adjusted is not None:
        yield f"{text.p_value(test.p_value)}, after correction {text.p_value(test.p_adjusted)}"
        yield from allows(finding)
    if len({side.measure for side in finding.sides}) > 1:
        yield "the sides are measured differently: this is a difference of neither measure"
    if finding.claim.times is not None:
        yield f"published: {finding.claim.times:g} times"
    if finding.claim.is_about_time and any(side.waited is not None for side in finding.sides):
        yield f"waiting for data, of the training: {_waits(finding)}"
    yield from _open_epochs(finding)


def _waits(finding: Finding) -> str:
    """What a loader that does not keep up has to do with it."""
    shares = ("not measured" if side.waited is None else text.percent(side.waited, 1) for side in finding.sides)
    return ", ".join(f"{name} {share}" for name, share in zip(side_names(finding), shares, strict=True))


def _open_epochs(finding: Finding) -> Iterator[str]:
    """Epochs that are a choice made here, and of which side where the study names those of the other one."""
    ours = [side for side in finding.sides if side.ours]
    named = "" if len(ours) == len(finding.sides) else f"{text.framework(ours[0].side.framework)}: " if ours else ""
    yield from dict.fromkeys(f"{named}{side.work.words}" for side in ours)


def allows(finding: Finding) -> Iterator[str]:
    """What the interval says of the published difference, and, where no difference is shown, what it leaves open."""
    if finding.test is None or finding.test.interval is None:
        return
    gap, undecided = finding.published_gap, finding.verdict.startswith("no difference")
    if gap is not None and (ends := of_one_run(finding.test).interval):
        inside = ends[0] <= gap <= ends[1]
        within, note = possible(finding, ends)
        told = f"one run of each would be {text.bare_range(within)} points apart{note}"
        yield f"{told}, which {'includes' if inside else 'excludes'} the published {text.bare_points(gap)}"
        undecided = undecided and inside
    if undecided:
        yield f"{_range(finding, finding.test.interval)}: inconclusive"


def _range(finding: Finding, ends: tuple[float, float]) -> str:
    show, unit = _units(finding.claim)
    (low, high), note = possible(finding, ends)
    apart = "" if finding.claim.second else " from the published figure"
    return f"between {show(low)} and {show(high)} {unit}{apart}{note}"


def possible(finding: Finding, ends: tuple[float, float]) -> tuple[tuple[float, float], str]:
    """An interval of shares cut to what shares allow, which Student's knows nothing of, and a note if it was cut."""
    if finding.claim.is_about_time:
        return ends, ""
    lowest, highest = -1.0, 1.0
    if finding.claim.second is None and finding.claim.first.published is not None:
        lowest, highest = -finding.claim.first.published, 1 - finding.claim.first.published
    cut = max(ends[0], lowest), min(ends[1], highest)
    return cut, "" if cut == ends else ", cut to what is possible"


def _mean(side: Measured, finding: Finding, common: set[int]) -> str:
    """Over the seeds that both sides have, as the test; over its own where there are none."""
    seeds = [seed for seed in side.by_seed if seed in common] or list(side.by_seed)
    value = sum(side.by_seed[seed] for seed in seeds) / len(seeds)
    name = f"{text.framework(side.side.framework)} {side.shown}"
    what = OF_WHAT[side.measure].format(of_class=finding.claim.of_class)
    notes = [f"{len(seeds)} of {len(side.by_seed)} seeds"] if len(seeds) < len(side.by_seed) else []
    if finding.claim.is_about_time:
        notes += [_scaling(side)] * side.scaled + ["contended"] * side.contended
        figure = text.seconds(value)
    else:
        notes += [AT_CHANCE] * side.at_chance
        figure = text.percent(value)
    told = "; ".join(note for note in notes if note)
    return f"{name} {figure}{what}" + (f" ({told})" if told else "")


def _scaling(side: Measured) -> str:
    """Empty for a side that ran all epochs."""
    ran = {side.ran[seed] for seed in side.by_seed} - {side.side.epochs}
    if not ran:
        return ""
    fewest, most = min(ran), max(ran)
    return f"{fewest}{f' to {most}' if most > fewest else ''} epochs, scaled to {side.side.epochs}"


def _ratio(times: float, value: float) -> str:
    return f"{times * math.exp(value):,.2f}"


def _seconds(value: float) -> str:
    return f"{value:+.1f}"
