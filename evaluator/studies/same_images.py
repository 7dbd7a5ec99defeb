"""Both sides of a claim on the same test images: McNemar's test of one training of each."""

from collections.abc import Iterator, Sequence

from core.schemas.scores import PairedTest
from core.schemas.summary import Summary
from evaluator import text
from evaluator.report.markdown import markdown_table
from evaluator.report.tables import Table
from evaluator.studies.judge import Finding

NOTE = (
    "**On the same test images.** One training of each side, the first seed's: images that only one of the two has "
    "right, and McNemar's exact test of them, corrected by Holm for all pairs of the result. It is about these trained "
    "networks; what another seed would give is in the table above."
)


def section(findings: Sequence[Finding], summary: Summary) -> Iterator[str]:
    """A row for each claim that compares two test accuracies; nothing where no such pair was kept."""
    rows = [(finding, test) for finding in findings if (test := paired_test(finding, summary))]
    if not rows:
        return
    headers = ("Claim", "Mode", "Only first right", "Only second right", "p, corrected")
    cells = (
        (
            finding.claim.text,
            finding.mode,
            f"{test.only_first:,}",
            f"{test.only_second:,}",
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
    rows = [(summary.rows[index].arm, summary.rows[index].framework, index) for index in summary.agreement.rows]
    indices = [i for side in finding.sides for arm, name, i in rows if (arm, name) == (side.arm, side.side.framework)]
    for pair in summary.agreement.pairs:
        if [pair.first, pair.second] == indices:
            return pair.test
        if [pair.second, pair.first] == indices:
            turned = {"only_first": pair.test.only_second, "only_second": pair.test.only_first}
            return pair.test.model_copy(update=turned)
    return None
