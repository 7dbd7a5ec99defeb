"""How far a random split of video frames flatters: results on two splits of the same images."""

from collections.abc import Iterator

from core.schemas.summary import Summary
from evaluator.report import split_tables
from evaluator.report.markdown import escape, markdown_table


def section(summary: Summary) -> Iterator[str]:
    """What was compared, and the accuracies."""
    assert summary.other_split, "a result on one split has no section"
    yield f"**The same arms on another split.** {escape(split_tables.sentence(summary.other_split))}"
    yield markdown_table(split_tables.table(summary.other_split))
