"""What an experiment's own results say of the study it repeats, by the rule of the studies' page."""

import json
from collections.abc import Sequence

import pydantic

from core.schemas.experiment import Experiment
from core.schemas.summary import Summary
from evaluator import text
from evaluator.claims.judge import Finding, decide, measure
from evaluator.claims.verdicts import NO_WEIGHTS, UNTESTED

SILENT = tuple(verdict for verdict in UNTESTED if verdict != NO_WEIGHTS)
"""Words that the terminal counts only."""


def judged(summary: Summary) -> tuple[Finding, ...]:
    """Every claim in every mode, with its verdict, corrected for these rows alone; none where no study is repeated.

    A study may have other results, which its page corrects for too: the two can differ in a verdict near the limit.
    """
    document = json.loads(summary.spec_json)
    if not document.get("study"):
        return ()
    try:
        study = Experiment.model_validate(document).study
    except pydantic.ValidationError:
        # Frozen by an earlier version: its report goes without this section, as without others.
        return ()
    return tuple(decide(measure(summary, study))) if study else ()


def lines(findings: Sequence[Finding]) -> tuple[str, ...]:
    """A line for each claim that has a verdict in some mode, and one that counts the rows without."""
    decided: dict[str, list[Finding]] = {}
    for finding in findings:
        if finding.verdict not in SILENT:
            decided.setdefault(finding.claim.text.removesuffix("."), []).append(finding)
    told = [f"{claim}: {'; '.join(map(_verdict, own))}" for claim, own in decided.items()]
    if waiting := len(findings) - sum(map(len, decided.values())):
        told.append(f"without a verdict: {waiting} of {text.count(len(findings), 'row')}; the report says why")
    return tuple(told)


def _verdict(finding: Finding) -> str:
    return finding.verdict + (f" ({finding.mode})" if finding.mode else "")
