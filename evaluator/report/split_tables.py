"""Accuracy on the experiment's split beside that on another one, as text for HTML and Markdown."""

from core.schemas.summary import SplitComparison
from evaluator import text
from evaluator.intervals import difference_half_width
from evaluator.report.tables import Table

POLICIES = {"stratified": "a random split", "contiguous": "contiguous blocks", "given": "the source’s own split"}
"""Split policies as people call them."""


def sentence(found: SplitComparison) -> str:
    """What was compared, and how far apart it is."""
    (first, second), (own, other) = (POLICIES[policy] for policy in found.policies), found.test_images
    gaps = [row.difference.mean for row in found.rows]
    low, high = (text.bare_points(gap) for gap in (min(gaps), max(gaps)))
    span = low if low == high else f"{low} to {high}"
    return (
        f"The same arms were trained and scored on the same images divided in two ways: {first} ({own:,} test images) "
        f"and {second} ({other:,} test images). Test accuracy on the former minus that on the latter: {span} points. "
        "Where images come in groups that look alike, such as frames of one video, a random split trains on the "
        "neighbours of its test images and flatters; blocks do so less. Intervals and tests are about seeds; "
        "the column “Images alone” says how far a difference would move besides with other test images, as many of "
        "them, in points (binomial, 95%); farther where images resemble each other."
    )


def table(found: SplitComparison) -> Table:
    """A row for each arm and framework."""
    policies = (policy.capitalize() for policy in found.policies)
    headers = (
        "Framework",
        "Arm",
        "Seeds",
        *policies,
        "Difference, points",
        "95% interval",
        "p, corrected",
        "Images alone",
    )
    rows = tuple(
        (
            text.framework(row.framework),
            row.arm,
            str(row.difference.seeds),
            text.percent(row.own.mean),
            text.percent(row.other.mean),
            text.bare_points(row.difference.mean),
            text.bare_range(row.difference.interval),
            text.MISSING if row.difference.p_adjusted is None else text.p_value(row.difference.p_adjusted),
            f"±{100 * difference_half_width((row.own.mean, row.other.mean), found.test_images):.2f}",
        )
        for row in found.rows
    )
    caption = (
        "Test accuracy by split: means over seeds, their paired difference with Student’s interval, and a paired t "
        "test corrected by Holm for all rows"
    )
    return Table(caption, headers, rows, names=2)
