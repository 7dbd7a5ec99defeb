"""The claims of the study that an experiment repeats, and what its own results say of them, as text for HTML and
Markdown."""

from collections.abc import Sequence
from itertools import groupby

from core.schemas.study import Claim, Side
from evaluator import text
from evaluator.claims import wording as told
from evaluator.claims.judge import Finding
from evaluator.report.tables import Table

INTRO = "What the published study says, and what was measured here, in each mode that was trained."
REASONS = "Besides the framework"
RULE = (
    "A claim is tested on the difference over seeds: Student’s 95% interval, paired t test, corrected by Holm for all "
    "claims and modes here that may lead to a verdict; intervals are not corrected. Fewer than three seeds, or under "
    "half of the study’s images or epochs, may only say “not tested at this scale”. “No difference shown” is no proof "
    "that there is none. Accuracies are those of the ONNX artefact on the test images, as served, unless it says "
    "training or validation images. Other results of the study are not in here."
)


def table(findings: Sequence[Finding]) -> Table:
    """One row for each claim and mode."""
    headers = ("Claim", "Published", "Mode", "Measured", "Difference, 95% interval", "Verdict", "Why", "Behind it")
    rows = tuple(
        (
            finding.claim.text,
            published(finding.claim, finding.published_gap),
            finding.mode or text.MISSING,
            told.measured(finding),
            told.difference(finding),
            f"{finding.verdict}",
            told.why(finding) or text.MISSING,
            work(finding),
        )
        for finding in findings
    )
    return Table("What the study claims, and what was measured here", headers, rows, names=len(headers))


def grouped(found: Table) -> list[list[tuple[str, ...]]]:
    """Its rows, those of one claim together: the page writes what they share once."""
    return [list(rows) for _, rows in groupby(found.rows, key=lambda row: row[:2])]


def work(finding: Finding) -> str:
    """How much training is behind a row; a dash where there is none."""
    if not finding.sides:
        return text.MISSING
    images, epochs, _ = told.work(finding)
    ran = f"{epochs} {'epoch' if epochs == '1' else 'epochs'}"
    return f"{images} training images, {ran}, {text.count(finding.seeds, 'seed')}"


def published(claim: Claim, gap: float | None = None) -> str:
    """The study's figures of both sides; a dash where it has words only.

    Args:
        gap: the published difference that a claim without figures stands for.
    """
    if figures := [_figure(claim, side) for side in claim.sides if side.published is not None]:
        return " · ".join(figures)
    return text.MISSING if gap is None else f"{text.bare_points(gap)} points, of sides that were not alike"


def _figure(claim: Claim, side: Side) -> str:
    value = side.published or 0.0
    shown = text.seconds(value) if claim.is_about_time else text.percent(value)
    return f"{text.framework(side.framework)} {shown}" + (" (a bound or a range)" if side.bound else "")


def reasons(findings: Sequence[Finding]) -> list[str]:
    """What differed in the study besides the framework, claim by claim."""
    claims = dict.fromkeys(finding.claim for finding in findings)
    return [f"{claim.text} {claim.reason}" for claim in claims if claim.reason]
