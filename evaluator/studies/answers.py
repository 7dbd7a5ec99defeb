"""What each study comes to, in a row: the published difference, what is left of it with each framework's own defaults
and with everything equal, and whose it is."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from core.schemas.statistics import SeedTest
from evaluator import text
from evaluator.claims.judge import Finding
from evaluator.claims.wording import compared, difference, side_names
from evaluator.report.pipes import escape
from evaluator.statistics import of_one_run, outcome
from evaluator.studies.chapter import Chapter
from evaluator.studies.defaults import Shift
from evaluator.studies.overview import Evidence, claims

DIFFERS = ("holds", "does not hold: the opposite")


@dataclass(frozen=True)
class Answer:
    """One study's claim in which only the framework differs, with the best evidence of each mode."""

    key: str
    idiomatic: Evidence | None
    matched: Evidence | None
    published: str
    shift: Shift | None
    """Whether the defaults move the difference; None where that was not tested."""

    @property
    def findings(self) -> tuple[Finding, ...]:
        return tuple(one[1] for one in (self.idiomatic, self.matched) if one)

    @property
    def tested(self) -> tuple[Finding, ...]:
        """Those that may lead to a verdict."""
        return tuple(finding for finding in self.findings if finding.testable and finding.test)

    @property
    def weight(self) -> tuple[int, int]:
        """Of several claims of a study the heaviest is its answer."""
        return len(self.tested), sum(one.images * one.epochs * one.seeds for one in self.findings)


def answers(chapters: Sequence[Chapter], moved: Sequence[Shift]) -> list[Answer]:
    """One for each study that compares the accuracy of one network in two frameworks."""
    best: dict[str, Answer] = {}
    for answer in _candidates(chapters, moved):
        if answer.key not in best or answer.weight > best[answer.key].weight:
            best[answer.key] = answer
    return list(best.values())


def _candidates(chapters: Sequence[Chapter], moved: Sequence[Shift]) -> Iterator[Answer]:
    for key, _, found in claims(chapters):
        (_, some), *_ = found.values()
        if some.claim.alike and some.claim.measure == "accuracy":
            own = found.get("idiomatic")
            shift = next((shift for shift in moved if own and shift.idiomatic is own[1]), None)
            yield Answer(key, own, found.get("matched"), _published(some, chapters), shift)


def _published(finding: Finding, chapters: Iterable[Chapter]) -> str:
    if finding.published_gap is not None:
        return f"{text.bare_points(finding.published_gap)} points"
    named = [claim for one in chapters for claim in one.study.claims if claim.text == finding.claim.stands_for]
    return "bounds only" if any(side.bound for claim in named for side in claim.sides) else text.MISSING


def table(found: Sequence[Answer], without: Sequence[str] = ()) -> str:
    """The rows as Markdown.

    Args:
        without: keys of studies that have no result.
    """
    headers = ("", "Difference", "Published", "Own defaults (idiomatic)", "Everything equal (matched)", "In words")
    lines = [headers, ("---",) * len(headers), *map(_line, found)]
    lines += [(f"[{key.upper()}](#{key})", *(text.MISSING,) * 4, "no result") for key in without]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _line(answer: Answer) -> tuple[str, ...]:
    sides = escape(compared(answer.findings[0]))
    cells = (_cell(answer.idiomatic), _cell(answer.matched))
    return f"[{answer.key.upper()}](#{answer.key})", sides, answer.published, *cells, so(answer)


def _cell(evidence: Evidence | None) -> str:
    if evidence is None:
        return text.MISSING
    one, finding = evidence
    figure = f"[{escape(difference(finding))}](#{one.name})"
    return figure if finding.testable else f"{figure}, not tested"


def so(answer: Answer) -> str:
    """Whether the difference is the framework's, its defaults', neither is shown, or nothing can be said."""
    if not answer.tested:
        return f"**Not testable at this scale:** {escape(_why_not(answer.findings))}."
    return " ".join(filter(None, (_whose(answer), _against_published(answer), _untested(answer))))


def _whose(answer: Answer) -> str:
    equal, own = (_ahead(evidence) for evidence in (answer.matched, answer.idiomatic))
    moved = answer.shift.test if answer.shift and outcome(answer.shift.test) == "difference" else None
    by = f"by {text.bare_points(moved.mean)} points" if moved else ""
    if equal and moved:
        return f"**Framework and defaults:** with everything equal {equal} is ahead; the defaults move that {by}."
    if equal:
        return f"**The framework:** with everything equal {equal} is ahead."
    if moved:
        return f"**The defaults:** they move the difference {by}; with everything equal none is shown."
    if own:
        return f"**With own defaults {own} is ahead;** that the defaults make the difference is not shown."
    if len(answer.tested) > 1:
        return "**Neither shown:** no difference is shown in either mode."
    return f"**None shown** in the mode that was tested, {answer.tested[0].mode}."


def _ahead(evidence: Evidence | None) -> str:
    """The side that is more accurate in this mode, where a difference is shown; otherwise empty."""
    if evidence is None or evidence[1].verdict not in DIFFERS or evidence[1].test is None:
        return ""
    return side_names(evidence[1])[0 if evidence[1].test.mean > 0 else 1]


def _against_published(answer: Answer) -> str:
    """What the intervals of the tested modes say of the published difference, or, where that is none, leave open."""
    known = [(one, one.test, one.test.interval) for one in answer.tested if one.test and one.test.interval]
    held = [(one.mode, _within(one.published_gap, test)) for one, test, _ in known if one.published_gap is not None]
    if held:
        return _against([mode for mode, inside in held if inside], [mode for mode, inside in held if not inside])
    if known and not any(one.verdict in DIFFERS for one in answer.tested):
        left = [f"{one.mode} leaves {text.bare_range(ends)}" for one, _, ends in sorted(known, key=_matched_first)]
        return f"Inconclusive: {text.names(left)} points open."
    return ""


def _matched_first(known: tuple[Finding, SeedTest, object]) -> bool:
    return known[0].mode != "matched"


def _within(gap: float, test: SeedTest) -> bool:
    """Whether one run of each side could be as far apart as the study's."""
    low, high = of_one_run(test).interval or (gap, gap)
    return low <= gap <= high


def _against(inside: Sequence[str], outside: Sequence[str]) -> str:
    """Modes in which one run of each side could be as far apart as published, and in which not."""
    if inside and outside:
        return f"One run of each could be as far apart as published in {inside[0]} mode, and could not in {outside[0]}."
    where = "In either mode one" if len((*inside, *outside)) > 1 else "One"
    return f"{where} run of each {'could' if inside else 'could not'} be as far apart as published."


def _untested(answer: Answer) -> str:
    others = [finding for finding in answer.findings if finding not in answer.tested]
    modes = text.names([finding.mode for finding in others])
    return f"Not tested at this scale: {modes} ({escape(_why_not(others))})." if others else ""


def _why_not(findings: Sequence[Finding]) -> str:
    return "; ".join(dict.fromkeys(why for finding in findings for why in finding.reasons))
