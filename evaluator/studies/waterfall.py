"""The attribution of a gap as a picture: from the first arm's gap, switch by switch, to the last one's. Plain SVG."""

from collections.abc import Iterator, Sequence
from html import escape

from core.schemas.attribution import Attribution
from evaluator import text
from evaluator.report.attribution import INTERACTION, UNCLEAR, Bar, bars, is_clear
from evaluator.studies.svg import (
    BAR,
    BOTTOM,
    COLOURS,
    LEFT,
    LINE,
    MUTED,
    TEXT,
    TOP,
    WIDTH,
    Axis,
    height_of,
    label,
    middle,
    picture,
)

LABEL = 70
"""Room for the figure beside a bar."""
HATCHING = (
    '<defs><pattern id="unclear" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    '<rect width="3" height="6" fill="#ffffff" fill-opacity="0.75"/></pattern></defs>'
)
UNTESTED = "not tested"
"""Of a change without a p value, as the table of the attribution calls it."""


def waterfall(found: Attribution) -> str:
    """SVG text; equal inputs give equal bytes."""
    drawn = list(bars(found))
    axis, height = _axis(drawn), height_of(len(drawn))
    first, second = map(text.framework, found.between)
    rows = [part for number, bar in enumerate(drawn) for part in _row(bar, number, axis, found)]
    within = f"; {INTERACTION}: within the bars above it" if found.interaction else ""
    legend = f"to the right: in favour of {first}; to the left: of {second}{within}{_hatched(found)}"
    foot = f'<text x="16" y="{height - 10}" font-size="12" fill="{MUTED}">{escape(legend)}</text>'
    title = f"Test accuracy of {first} minus {second}, in points: which default makes the difference"
    return picture(title, len(drawn), [HATCHING, *_grid(axis, height), *rows, foot])


def _hatched(found: Attribution) -> str:
    """What hatching stands for in this picture, as the legend goes on; nothing where no bar is hatched."""
    changes = [*(share.change for share in found.shares), found.rest, *filter(None, [found.interaction])]
    unsure = [change for change in changes if not is_clear(change)]
    tested = {change.p_adjusted is not None for change in unsure}
    reasons = [words for words, were_tested in ((UNCLEAR, True), (UNTESTED, False)) if were_tested in tested]
    return f"; hatched, in parentheses: {', or '.join(reasons)}" if reasons else ""


def _axis(drawn: Sequence[Bar]) -> Axis:
    """Everything that is drawn, zero, and room for the figures."""
    ends = [end for bar in drawn for end in (bar.base, bar.base + bar.size)]
    low, high = min(0.0, *ends), max(0.0, *ends)
    margin = max(LABEL / (WIDTH - LEFT) * (high - low) * 1.5, 0.001)
    return Axis(low - margin, high + margin)


def _grid(axis: Axis, height: int) -> Iterator[str]:
    x = f"{axis.x(0.0):.1f}"
    yield f'<line x1="{x}" x2="{x}" y1="{TOP - 6}" y2="{height - BOTTOM + 2}" stroke="{LINE}" stroke-width="2"/>'


def _row(bar: Bar, number: int, axis: Axis, found: Attribution) -> Iterator[str]:
    y = middle(number)
    colour = MUTED if bar.gap else COLOURS[found.between[0 if bar.size > 0 else 1]]
    left, right = sorted((axis.x(bar.base), axis.x(bar.base + bar.size)))
    place = f'x="{left:.1f}" y="{y - BAR / 2:g}" width="{max(right - left, 1.0):.1f}" height="{BAR}"'
    yield label(bar.label, number)
    yield f'<rect {place} fill="{colour}"><title>{escape(bar.label)}: {bar.figure} points</title></rect>'
    if not bar.clear:
        yield f'<rect {place} fill="url(#unclear)" pointer-events="none"/>'
    side, anchor = (right + 6, "start") if bar.size >= 0 else (left - 6, "end")
    yield f'<text x="{side:.1f}" y="{y + 4:g}" text-anchor="{anchor}" fill="{TEXT}">{bar.figure}</text>'
