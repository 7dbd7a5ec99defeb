"""All claims of all studies in one table: for each the result with the best evidence."""

from collections.abc import Sequence

from evaluator.report.markdown import escape
from evaluator.studies.chapter import Changed, Chapter
from evaluator.studies.findings import difference, work
from evaluator.studies.judge import NOT_TESTED, Finding
from evaluator.text import MISSING

EARLIER = " (earlier revision)"
"""Of a verdict on a measurement whose experiment file is another one now."""


def overview(chapters: Sequence[Chapter], changed: Changed) -> str:
    """A row for each study, claim and mode. Its link leads to the chapter."""
    headers = ("Study", "Claim", "Mode", "Images", "Epochs", "Seeds", "Difference, 95% interval", "Verdict")
    lines = [headers, ("---",) * len(headers)]
    for one, finding in best_evidence(chapters):
        verdict = finding.verdict + (EARLIER if changed.get(one.name) else "")
        cells = (finding.claim.text, finding.mode or MISSING, *work(finding), difference(finding), verdict)
        lines.append((f"[{escape(one.study.title)}](#{one.name})", *map(escape, cells)))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def best_evidence(chapters: Sequence[Chapter]) -> list[tuple[Chapter, Finding]]:
    """One finding for each study, claim and mode, with the chapter it is in."""
    found: dict[tuple[str, str, str], tuple[Chapter, Finding]] = {}
    for one in chapters:
        for finding in one.findings:
            key = (one.study_key, finding.claim.text, finding.mode)
            if key not in found or _evidence(finding) > _evidence(found[key][1]):
                found[key] = (one, finding)
    return list(found.values())


def _evidence(finding: Finding) -> tuple[bool, int]:
    return finding.verdict != NOT_TESTED, finding.images * finding.epochs * finding.seeds
