"""The attribution of a gap as a picture: from the first arm's gap, switch by switch, to the last one's. Plain SVG."""

from collections.abc import Iterator, Sequence
from html import escape

from core.schemas.attribution import Attribution
from evaluator import text
from evaluator.report.attribution import UNCLEAR, Bar, bars, is_clear
from evaluator.studies.chart import BOTTOM, COLOURS, LEFT, LINE, MUTED, ROW, TEXT, TOP, WIDTH, Axis

BAR = 16
"""Height of a bar; what is left of a row is air."""
LABEL = 70
"""Room for the figure beside a bar."""
UNTESTED = "not tested"
"""Of a change without a p value, as the table of the attribution calls it."""


def waterfall(found: Attribution) -> str:
    """SVG text; equal inputs give equal bytes."""
    drawn = list(bars(found))
    axis, height = _axis(drawn), TOP + ROW * len(drawn) + BOTTOM
    first, second = map(text.framework, found.between)
    title = escape(f"Test accuracy of {first} minus {second}, in points: which default makes the difference")
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'role="img" aria-label="{title}" font-family="system-ui, sans-serif" font-size="13">\n'
        '<defs><pattern id="unclear" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
        '<rect width="3" height="6" fill="#ffffff" fill-opacity="0.75"/></pattern></defs>\n'
        f'<rect width="{WIDTH}" height="{height}" rx="10" fill="#ffffff"/>\n'
        f'<text x="16" y="26" font-size="15" font-weight="600" fill="{TEXT}">{title}</text>'
    )
    rows = [part for number, bar in enumerate(drawn) for part in _row(bar, number, axis, found)]
    legend = f"to the right: in favour of {first}; to the left: of {second}{_hatched(found)}"
    foot = f'<text x="16" y="{height - 10}" font-size="12" fill="{MUTED}">{escape(legend)}</text>'
    return "\n".join([head, *_grid(axis, height), *rows, foot, "</svg>"]) + "\n"


def _hatched(found: Attribution) -> str:
    """What hatching stands for in this picture, as the legend goes on; nothing where no bar is hatched."""
    unsure = [change for change in (*(share.change for share in found.shares), found.rest) if not is_clear(change)]
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
    y = TOP + ROW * number + ROW / 2
    colour = MUTED if bar.gap else COLOURS[found.between[0 if bar.size > 0 else 1]]
    left, right = sorted((axis.x(bar.base), axis.x(bar.base + bar.size)))
    place = f'x="{left:.1f}" y="{y - BAR / 2:g}" width="{max(right - left, 1.0):.1f}" height="{BAR}"'
    yield f'<text x="{LEFT - 14}" y="{y + 4:g}" text-anchor="end" fill="{TEXT}">{escape(bar.label)}</text>'
    yield f'<rect {place} fill="{colour}"><title>{escape(bar.label)}: {bar.figure} points</title></rect>'
    if not bar.clear:
        yield f'<rect {place} fill="url(#unclear)" pointer-events="none"/>'
    side, anchor = (right + 6, "start") if bar.size >= 0 else (left - 6, "end")
    yield f'<text x="{side:.1f}" y="{y + 4:g}" text-anchor="{anchor}" fill="{TEXT}">{bar.figure}</text>'
