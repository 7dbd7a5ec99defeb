"""All claims of all studies in one table: for each the result with the best evidence."""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from evaluator.claims.judge import Finding
from evaluator.claims.levels import AT_CHANCE
from evaluator.claims.wording import difference, work
from evaluator.report.pipes import escape
from evaluator.studies.chapter import Chapter
from evaluator.studies.revision import Revisions
from evaluator.text import MISSING, count

MODES = ("idiomatic", "matched")
Evidence = tuple[Chapter, Finding]


def overview(chapters: Sequence[Chapter], revisions: Revisions = MappingProxyType({})) -> str:
    """A row for each claim of a study, a cell for each mode. Links lead to the study, and to the result."""
    headers = ("", "Claim", "Own defaults (idiomatic)", "Everything equal (matched)")
    lines = [headers, ("---",) * len(headers)]
    for key, claim, found in claims(chapters):
        cells = [_cell(found.get(mode), revisions) for mode in MODES]
        if "" in found:
            # Nothing was measured, so there is no mode.
            cells = [_cell(found[""], revisions), MISSING]
        lines.append((f"[{escape(key.upper())}](#{key})", escape(claim), *cells))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def claims(chapters: Sequence[Chapter]) -> Iterator[tuple[str, str, Mapping[str, Evidence]]]:
    """Study, claim and its best evidence by mode, in the order of the studies and of their claims."""
    rows: dict[tuple[str, str], dict[str, Evidence]] = {}
    for one, finding in best_evidence(chapters):
        rows.setdefault((one.study_key, finding.claim.text), {})[finding.mode] = (one, finding)
    places = _places(chapters)
    for (key, claim), found in sorted(rows.items(), key=lambda row: (row[0][0], places[row[0]])):
        yield key, claim, found


def _places(chapters: Sequence[Chapter]) -> dict[tuple[str, str], int]:
    """Where a claim stands among those of its study: a scale without some arms lacks the claims about them, so the
    longest list comes first."""
    found: dict[tuple[str, str], int] = {}
    for one in sorted(chapters, key=lambda one: -len(one.study.claims)):
        for claim in one.study.claims:
            found.setdefault((one.study_key, claim.text), len(found))
    return found


def _cell(evidence: Evidence | None, revisions: Revisions) -> str:
    if evidence is None:
        return MISSING
    one, finding = evidence
    revision = revisions.get(one.name)
    if not finding.sides:
        return f"[{finding.verdict}](#{one.study_key})"
    verdict = f"[{finding.verdict}](#{one.name})" + (revision.mark if revision else "")
    images, epochs, seeds = work(finding)
    behind = f"{images} images · {epochs} epochs · {count(int(seeds), 'seed')}" + f" · {AT_CHANCE}" * finding.at_chance
    behind += " · the sides are measured differently" * (len({side.measure for side in finding.sides}) > 1)
    return "<br>".join([f"**{verdict}**" if finding.testable else verdict, escape(difference(finding)), behind])


def best_evidence(chapters: Sequence[Chapter]) -> list[Evidence]:
    """One finding for each study, claim and mode, with the chapter it is in."""
    found: dict[tuple[str, str, str], Evidence] = {}
    for one in chapters:
        for finding in one.findings:
            key = (one.study_key, finding.claim.text, finding.mode)
            if key not in found or _evidence(finding) > _evidence(found[key][1]):
                found[key] = (one, finding)
    return list(found.values())


def _evidence(finding: Finding) -> tuple[bool, bool, int]:
    """Accuracies at chance level tell nothing, however much work is behind them."""
    return finding.testable, not finding.at_chance, finding.images * finding.epochs * finding.seeds
