"""How far a random split of video frames flatters: results on two splits of the same images."""

from collections.abc import Iterator

from core.schemas.summary import Summary
from evaluator.claims.evidence import seeds_missing
from evaluator.claims.verdicts import NOT_TESTED
from evaluator.report import split_tables
from evaluator.report.pipes import escape, markdown_table


def section(summary: Summary) -> Iterator[str]:
    """What was compared, whether it may be relied on, and the accuracies."""
    assert summary.other_split, "a result on one split has no section"
    seeds = min(row.difference.seeds for row in summary.other_split.rows)
    why_not = [f"**{NOT_TESTED.capitalize()}: {words}.**" for words in seeds_missing(seeds)]
    told = " ".join([*why_not, escape(split_tables.sentence(summary.other_split))])
    yield f"**The same arms on another split.** {told}"
    yield markdown_table(split_tables.table(summary.other_split))
