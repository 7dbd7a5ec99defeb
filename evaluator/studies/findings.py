"""The table of a result's findings."""

from collections.abc import Sequence

from evaluator.claims.judge import Finding
from evaluator.claims.wording import difference, measured, why, work
from evaluator.report.tables import Table
from evaluator.text import MISSING


def common_reasons(findings: Sequence[Finding]) -> tuple[str, ...]:
    """Why none of them may lead to a verdict, where that is the same for all: it is said once."""
    first, *others = [finding.reasons for finding in findings]
    return tuple(why for why in first if all(why in other for other in others))


def findings_table(findings: Sequence[Finding], said: Sequence[str] = ()) -> Table:
    """One row for each claim and mode.

    Args:
        said: reasons that are told above the table.
    """
    headers = ("Claim", "Mode", "Measured", "Images", "Epochs", "Seeds", "Difference, 95% interval", "Verdict", "Why")
    rows = tuple(
        (
            finding.claim.text,
            finding.mode or MISSING,
            measured(finding),
            *work(finding),
            difference(finding),
            f"{finding.verdict}",
            why(finding, said),
        )
        for finding in findings
    )
    return Table("Claims", headers, rows, names=len(headers))
