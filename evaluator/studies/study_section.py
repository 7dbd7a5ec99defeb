"""One study on the page: what it is about once, then each of its results."""

from collections.abc import Iterator, Sequence

from core.schemas.experiment import Experiment
from evaluator.claims.judge import Finding
from evaluator.report.pipes import escape
from evaluator.studies import result, same_images
from evaluator.studies.chapter import Chapter
from evaluator.studies.defaults import Shift, shift_line
from evaluator.studies.revision import Revisions


def section(
    key: str,
    chapters: Sequence[Chapter],
    moved: Sequence[Shift],
    revisions: Revisions,
    without: Sequence[Experiment] = (),
) -> Iterator[str]:
    """Heading, what fits the machine, what differed, what is tested over all results, and these.

    Args:
        chapters: its results.
        moved: its tests of whether defaults move a difference.
        without: its experiments that have no result.
    """
    found = sorted(chapters, key=lambda one: one.rank)
    yield f'<a id="{key}"></a>\n\n## {escape(_title(found, without))}'
    yield from dict.fromkeys(escape(one.summary.description) for one in found if one.summary.description)
    fits = dict.fromkeys([one.study.fits for one in found] + [one.study.fits for one in without if one.study])
    yield f"**What fits the machine.** {' '.join(map(escape, fits))}"
    if lines := _differed(found):
        title = "**What differs besides the framework, or is not known**, claim by claim."
        yield f"{title}\n\n" + "\n".join(f"- {line}" for line in lines)
    if lines := _unavailable(found):
        yield "**Without a measurement.**\n\n" + "\n".join(f"- {line}" for line in lines)
    if lines := [shift_line(one, _of(one.idiomatic, found), _of(one.matched, found)) for one in moved]:
        yield "**Framework or defaults?**\n\n" + "\n".join(f"- {line}" for line in lines)
    yield from same_images.section(found)
    yield from (f"`{one.name}.yaml`: no result." for one in without)
    for one in found:
        yield from result.section(one, revisions.get(one.name))


def _title(found: Sequence[Chapter], without: Sequence[Experiment]) -> str:
    return found[0].summary.title if found else without[0].title


def _differed(found: Sequence[Chapter]) -> list[str]:
    # In the study's order, as the result that has the most of its claims tells them.
    longest = max(found, key=lambda one: len(one.study.claims), default=None)
    order = {claim.text: place for place, claim in enumerate(longest.study.claims)} if longest else {}
    measured = dict.fromkeys(finding.claim for one in found for finding in one.findings)
    claims = sorted(measured, key=lambda claim: order.get(claim.text, len(order)))
    return list(dict.fromkeys(f"{escape(claim.text)} {escape(claim.reason)}" for claim in claims if claim.reason))


def _unavailable(found: Sequence[Chapter]) -> list[str]:
    """Each claim that nothing was measured of, once, with why."""
    findings = {finding.claim.text: finding for one in found for finding in one.findings if not finding.sides}
    return [f"{escape(text)} *{one.verdict}*{_why(one)}." for text, one in findings.items()]


def _why(finding: Finding) -> str:
    told = [why for why in finding.shortfalls if not finding.verdict.endswith(why)]
    return f": {escape('; '.join(told))}" if told else ""


def _of(finding: Finding, found: Sequence[Chapter]) -> str:
    """Name of the result that a finding is from."""
    return next((one.name for one in found if any(finding is other for other in one.findings)), found[0].name)
