"""Both sides of a claim on the same test images: McNemar's test of one training of each."""

from collections.abc import Iterator, Sequence

from core.schemas.scores import PairedTest
from core.schemas.summary import Row, Summary
from evaluator import text
from evaluator.claims.judge import Finding, Measured
from evaluator.claims.wording import side_names
from evaluator.paired import holm
from evaluator.report.pipes import markdown_table
from evaluator.report.tables import Table
from evaluator.studies.chapter import Chapter

NOTE = (
    "**On the same test images.** One training of each side, of one seed, as ONNX: how many images only it has right, "
    "and McNemar's exact test of them, corrected by Holm for the rows of this table. It is about these trained "
    "networks; what another seed would give is in the verdicts."
)


def section(chapters: Sequence[Chapter]) -> Iterator[str]:
    """A row for each claim of a study about two test accuracies that may lead to a verdict, and which results kept
    nothing to make one of."""
    rows = list(_rows(chapters))
    if rows:
        yield NOTE
        yield markdown_table(_table(rows))
    if without := [one.name for one in chapters if one.summary.agreement is None and any(_tested(one))]:
        lead = "" if rows else "**On the same test images.** "
        yield f"{lead}Answers image by image were not compared in {text.names(without)}."


def _rows(chapters: Sequence[Chapter]) -> Iterator[tuple[Chapter, Finding, PairedTest]]:
    """Trainings that another result has too are told, and corrected for, once."""
    found = [(one, f, test) for one in chapters for f in _tested(one) if (test := paired_test(f, one.summary))]
    told = {(f.claim.text, f.mode) for one, f, _ in found if f not in one.repeated}
    for one, finding, test in found:
        if finding not in one.repeated or (finding.claim.text, finding.mode) not in told:
            yield one, finding, test


def _tested(one: Chapter) -> Iterator[Finding]:
    for finding in (*one.findings, *one.repeated):
        if finding.testable and len(finding.sides) == 2 and all(s.measure == "accuracy" for s in finding.sides):
            yield finding


def _table(rows: Sequence[tuple[Chapter, Finding, PairedTest]]) -> Table:
    headers = ("Claim", "Result", "Mode", "Only the first side is right", "Only the second", "p, corrected")
    adjusted = holm([test.p_value for *_, test in rows])
    cells = (
        (
            finding.claim.text,
            one.name,
            finding.mode,
            *map("{} {:,}".format, side_names(finding), (test.only_first, test.only_second)),
            text.p_value(p),
        )
        for (one, finding, test), p in zip(rows, adjusted, strict=True)
    )
    return Table("On the same test images", headers, tuple(cells), names=3)


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
