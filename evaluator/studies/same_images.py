"""Both sides of a claim on the same test images: McNemar's test of one training of each."""

from collections.abc import Iterator, Sequence

from core.schemas.scores import PairedTest
from core.schemas.summary import Row, Summary
from evaluator import text
from evaluator.report.markdown import markdown_table
from evaluator.report.tables import Table
from evaluator.studies.judge import Finding, Measured

NOTE = (
    "**On the same test images.** One training of each side, of one seed, as ONNX: how many images only it has right, "
    "and McNemar's exact test of them, corrected by Holm for all pairs that the report compares. It is about these "
    "trained networks; what another seed would give is in the verdict, here or in the chapter that has it."
)


def section(findings: Sequence[Finding], summary: Summary) -> Iterator[str]:
    """A row for each claim about two test accuracies that may lead to a verdict; nothing where no pair was kept."""
    tested = (finding for finding in findings if not finding.shortfalls)
    rows = [(finding, test) for finding in tested if (test := paired_test(finding, summary))]
    if not rows:
        return
    headers = ("Claim", "Mode", "Only it is right", "Only it is right", "p, corrected")
    cells = (
        (
            finding.claim.text,
            finding.mode,
            _side(finding.sides[0], test.only_first),
            _side(finding.sides[1], test.only_second),
            text.p_value(test.p_adjusted),
        )
        for finding, test in rows
    )
    yield NOTE
    yield markdown_table(Table("On the same test images", headers, tuple(cells), names=2))


def paired_test(finding: Finding, summary: Summary) -> PairedTest | None:
    """First side against second; None where the claim is about something else, or the pair was not compared."""
    if len(finding.sides) != 2 or any(side.measure != "accuracy" for side in finding.sides) or not summary.agreement:
        return None
    indices = [index for side in finding.sides for index in summary.agreement.rows if _is_of(side, summary.rows[index])]
    if len({summary.rows[index].seed for index in indices}) != 1:
        return None
    for pair in summary.agreement.pairs:
        if [pair.first, pair.second] == indices:
            return pair.test
        if [pair.second, pair.first] == indices:
            turned = {"only_first": pair.test.only_second, "only_second": pair.test.only_first}
            return pair.test.model_copy(update=turned)
    return None


def _is_of(side: Measured, row: Row) -> bool:
    return (row.arm, row.framework, row.format, row.variant) == (side.arm, side.side.framework, "onnx", False)


def _side(side: Measured, images: int) -> str:
    return f"{text.framework(side.side.framework)} {images:,}"
