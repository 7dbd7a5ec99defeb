"""Framework or defaults: idiomatic against matched, and switch by switch where an experiment asks for it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from core.schemas.attribution import Attribution
from core.schemas.statistics import SeedTest
from core.schemas.study import Study
from core.schemas.summary import Summary
from evaluator import text
from evaluator.claims.evidence import Epochs, shortfalls
from evaluator.claims.judge import Finding
from evaluator.claims.verdicts import NO_DIFFERENCE, NOT_TESTED
from evaluator.modes import differ_in_mode_alone
from evaluator.paired import ALPHA
from evaluator.report import attribution
from evaluator.report.pipes import escape, markdown_table
from evaluator.statistics import corrected, seed_test
from evaluator.studies.folding import folded


@dataclass(frozen=True)
class Shift:
    """What the frameworks' own defaults do to the difference that a claim is about."""

    idiomatic: Finding
    matched: Finding
    """Of the same claim, images and epochs; perhaps of another result of the study."""
    differences: tuple[float, float]
    """The idiomatic and the matched one: means over the seeds that both have."""
    test: SeedTest
    """The idiomatic difference minus the matched one, by seed; corrected for all shifts of the study."""


def shifts(results: Sequence[Sequence[Finding]]) -> list[Shift]:
    """One for each claim of a result about accuracy in which only the framework differs and that both modes may decide.

    Args:
        results: the findings of each result of one study. The matched finding is that of the same result; where it has
            none, that of another one which trained alike.
    """
    decided = [[finding for finding in findings if _counts(finding)] for findings in results]
    found = []
    for number, own in enumerate(decided):
        others = [finding for other in (*decided[:number], *decided[number + 1 :]) for finding in other]
        for idiomatic in (finding for finding in own if finding.mode == "idiomatic"):
            if (matched := _matched(idiomatic, own) or _matched(idiomatic, others)) is None:
                continue
            first, second = _by_seed(idiomatic), _by_seed(matched)
            if common := sorted(first.keys() & second.keys()):
                means = tuple(fmean(side[seed] for seed in common) for side in (first, second))
                moved = seed_test([first[seed] - second[seed] for seed in common])
                found.append(Shift(idiomatic, matched, (means[0], means[1]), moved))
    tests = corrected([shift.test for shift in found])
    return [replace(shift, test=test) for shift, test in zip(found, tests, strict=True)]


def _counts(finding: Finding) -> bool:
    return bool(finding.test and finding.testable and not finding.claim.is_about_time and finding.claim.alike)


def _matched(idiomatic: Finding, among: Sequence[Finding]) -> Finding | None:
    """Of the same claim, on the same data, by the same recipes but for the mode. Claims of two scales name other arms,
    so their texts are compared."""
    wanted = (idiomatic.claim.text, idiomatic.data, idiomatic.epochs)
    found = (one for one in among if one.mode == "matched" and (one.claim.text, one.data, one.epochs) == wanted)
    return next((one for one in found if _in_mode_alone(idiomatic, one)), None)


def _in_mode_alone(idiomatic: Finding, matched: Finding) -> bool:
    pairs = zip(idiomatic.sides, matched.sides, strict=True)
    return all(a.trained and b.trained and differ_in_mode_alone(a.trained, b.trained) for a, b in pairs)


def _by_seed(finding: Finding) -> dict[int, float]:
    first, second = (side.by_seed for side in finding.sides)
    return {seed: first[seed] - second[seed] for seed in first.keys() & second.keys()}


def shift_line(shift: Shift, idiomatic_in: str, matched_in: str) -> str:
    """Both differences, and whether the defaults make one of the other.

    Args:
        idiomatic_in: name of the result that the idiomatic difference is from; `matched_in` likewise.
    """
    gap = shift.idiomatic.published_gap
    published = "" if gap is None else f" Published: {text.bare_points(gap)} points."
    idiomatic, matched = map(text.bare_points, shift.differences)
    return (
        f"{escape(shift.idiomatic.claim.text)}{published} Measured over {text.count(shift.test.seeds, 'seed')}: "
        f"{idiomatic} points with each framework's own "
        f"defaults ([{idiomatic_in}](#{idiomatic_in})), {matched} with everything equal but the framework's kernels "
        f"([{matched_in}](#{matched_in})). {_moved(shift.test)}"
    )


def _moved(test: SeedTest) -> str:
    by = f"{text.bare_points(test.mean)} points"
    if test.interval is None or test.p_adjusted is None:
        return f"Whether the defaults move it cannot be tested: {by}, too few common seeds or the same in each."
    low, high = map(text.bare_points, test.interval)
    sure = (
        f"{by} ({low} to {high}; own defaults minus everything equal), {text.p_value(test.p_adjusted)} after correction"
    )
    if test.p_adjusted < ALPHA:
        return f"The defaults move it by {sure}."
    return f"Whether the defaults move it: {NO_DIFFERENCE}, {sure}."


def attribution_shortfalls(found: Attribution, summary: Summary, study: Study) -> tuple[str, ...]:
    """Why the shares of an attribution are not tested, by the rule for verdicts; empty where they are."""
    images = summary.data.images("train") if summary.data else 0
    path = {*found.arms, *(share.arm for share in (*found.shares, *found.alone))}
    ran = [len(t.history) for t in summary.trainings if t.arm in path and t.framework in found.between]
    whole, ours = _study_epochs(found, study)
    return tuple(shortfalls(study, found.start.seeds, images, [Epochs(min(ran, default=0), whole, ours)]))


def _study_epochs(found: Attribution, study: Study) -> tuple[int, bool]:
    """The study's in the arms compared; where no claim is about them, in its longest training. And whether it names
    none."""
    sides = [side for claim in study.claims for side in claim.sides]
    own = [side for side in sides if side.framework in found.between and {*side.arms} & {*found.arms}]
    longest = max(own or sides, key=lambda side: (side.epochs, study.names_epochs(side)))
    return longest.epochs, not study.names_epochs(longest)


def untested(found: Attribution) -> Attribution:
    """Without p values, so that table and waterfall call every change untested, and without the switches alone."""
    shares = tuple(share.model_copy(update={"change": _without_p(share.change)}) for share in found.shares)
    return found.model_copy(update={"shares": shares, "rest": _without_p(found.rest), "alone": (), "interaction": None})


def _without_p(test: SeedTest) -> SeedTest:
    return test.model_copy(update={"p_value": None, "p_adjusted": None})


def attribution_section(found: Attribution, why_not: Sequence[str], picture: str) -> Iterator[str]:
    """What each switch contributes; where the experiment is too small for that, why nothing is said about it."""
    if why_not:
        yield f"**Which default makes the difference.** {_nothing_said(found, why_not)}"
        yield from folded("The waterfall all the same", _switches(found, _plain_caption(found), picture))
    else:
        yield f"**Which default makes the difference.** {escape(attribution.sentence(found))}"
        yield from _switches(found, attribution.table(found).caption, picture)


def _nothing_said(found: Attribution, why_not: Sequence[str]) -> str:
    first, second = map(text.framework, found.between)
    return (
        f"**{NOT_TESTED.capitalize()}: {escape('; '.join(why_not))}.** From {found.arms[0]} to {found.arms[1]} "
        f"the gap between {first} and {second} went from {text.bare_points(found.start.mean)} to "
        f"{text.bare_points(found.end.mean)} points; no switch is given a share of it."
    )


def _plain_caption(found: Attribution) -> str:
    first, second = map(text.framework, found.between)
    return (
        f"Test accuracy of {first} minus {second}, in points, over {text.count(found.start.seeds, 'seed')}; "
        "switches are made in this order and stay made"
    )


def _switches(found: Attribution, caption: str, picture: str) -> Iterator[str]:
    yield f"![From one arm to the other, switch by switch]({picture})"
    yield f"{escape(caption)}."
    yield markdown_table(attribution.table(found))
