"""Accuracy on the experiment's split beside that on another one, as text for HTML and Markdown."""

from core.schemas.summary import SplitComparison, Spread
from evaluator import text
from evaluator.report.tables import Table

POLICIES = {"stratified": "a random split", "contiguous": "contiguous blocks", "given": "the source’s own split"}
"""Split policies as people call them."""


def sentence(found: SplitComparison) -> str:
    """What was compared, and how far apart it is."""
    (first, second), (own, other) = (POLICIES[policy] for policy in found.policies), found.test_images
    gaps = [_gap(row.own, row.other) for row in found.rows]
    low, high = (text.bare_points(gap) for gap in (min(gaps), max(gaps)))
    span = f"{low} points" if low == high else f"{low} to {high} points"
    return (
        f"The same arms were trained and scored twice on the same images: on {first} ({own:,} test images) and on "
        f"{second} ({other:,} test images). Test accuracy on the former is {span} away from that on the latter. Where "
        "images come in groups that look alike, such as frames of one video, a random split trains on the neighbours "
        "of its test images and flatters; blocks do not."
    )


def table(found: SplitComparison) -> Table:
    """A row for each arm and framework."""
    first, second = found.policies
    headers = ("Framework", "Arm", "Seeds", first.capitalize(), second.capitalize(), "Difference")
    rows = tuple(
        (
            text.framework(row.framework),
            row.arm,
            str(min(row.own.count, row.other.count)),
            _spread(row.own),
            _spread(row.other),
            f"{text.bare_points(_gap(row.own, row.other))} points",
        )
        for row in found.rows
    )
    return Table("Test accuracy by split: means over seeds, Student’s 95% interval", headers, rows, names=2)


def _gap(own: Spread, other: Spread) -> float:
    return own.mean - other.mean


def _spread(accuracy: Spread) -> str:
    mean, interval = text.percent(accuracy.mean), accuracy.interval
    return f"{mean} ({text.percent(interval[0])} to {text.percent(interval[1])})" if interval else mean
