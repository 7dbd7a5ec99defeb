"""The studies at a glance: each published difference between two frameworks, and what is left of it with the
frameworks' own defaults and with everything equal. Plain SVG."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from core.schemas.study import Claim
from evaluator import text
from evaluator.claims.judge import Finding
from evaluator.claims.wording import compared
from evaluator.studies.chapter import Chapter
from evaluator.studies.overview import claims
from evaluator.studies.svg import BOTTOM, LINE, MUTED, TEXT, TOP, Axis, diamond, height_of, label, middle, picture

PATH = "images/studies-gaps.svg"
"""Relative to the page."""
MODES = {"idiomatic": ("#7c5cc4", -5), "matched": ("#0b7285", 5)}
"""Colour, and how far below the row's middle."""
COLUMNS = {"published": 150, "idiomatic": 80, "matched": 10}
"""Where the figures end, to the left of the picture's right margin."""
ROOM = 220
POINTS = (-0.3, -0.1, -0.03, -0.01, 0.0, 0.01, 0.03, 0.1, 0.3, 1.0)
"""What the axis may name."""
GROUPS = {
    True: "The same network and recipe on both sides",
    False: "As the study compares them: other networks or recipes",
}
"""Headings, by whether only the framework differs."""
LINEAR = 0.01
"""Up to about here the axis is linear, beyond it logarithmic: published differences are from 0.4 to 84 points."""


@dataclass(frozen=True)
class Gap:
    """One claim that compares the accuracy of two frameworks by one measure."""

    name: str
    published: float | None
    alike: bool
    """Only the framework differs; otherwise the sides have other networks or recipes, in both modes."""
    found: dict[str, Finding]
    """By mode."""


def gaps(chapters: Sequence[Chapter]) -> list[Gap]:
    """Every such claim, with the best evidence of each mode: first those in which only the framework differs, then the
    others, each in the order of the studies and of their claims."""
    return sorted(_gaps(chapters), key=lambda row: not row.alike)


def _gaps(chapters: Sequence[Chapter]) -> Iterator[Gap]:
    for *_, found in claims(chapters):
        drawn = {mode: finding for mode, (_, finding) in found.items() if finding.test}
        if drawn and _compares_frameworks((finding := next(iter(drawn.values()))).claim):
            (one, _), *_ = found.values()
            yield Gap(_name(one, finding), finding.published_gap, finding.claim.alike, drawn)


def gap_chart(chapters: Sequence[Chapter]) -> str:
    """SVG text; equal inputs give equal bytes."""
    rows = gaps(chapters)
    lines = list(_lines(rows))
    axis, height = _axis(rows), height_of(len(lines))
    parts = [
        part
        for number, line in enumerate(lines)
        for part in (_heading(line, number) if isinstance(line, str) else _row(line, number, axis))
    ]
    title = "Difference in accuracy between two frameworks, in points"
    return picture(title, len(lines), [*_grid(axis, height), *_heads(axis), *parts, *_legend(height)])


def _lines(rows: Sequence[Gap]) -> Iterator[Gap | str]:
    """The rows, with a heading above each group."""
    for alike, heading in GROUPS.items():
        if members := [row for row in rows if row.alike == alike]:
            yield heading
            yield from members


def _heading(words: str, number: int) -> Iterator[str]:
    yield f'<text x="16" y="{middle(number) + 6:g}" font-weight="600" fill="{TEXT}">{words}</text>'


def _compares_frameworks(claim: Claim) -> bool:
    frameworks = {side.framework for side in claim.sides}
    measures = {claim.measure_of(side) for side in claim.sides}
    return len(frameworks) == 2 and len(measures) == 1 and not claim.is_about_time and claim.of_class is None


def _name(one: Chapter, finding: Finding) -> str:
    return f"{one.study_key.upper()} · {compared(finding)}"


def _scaled(share: float) -> float:
    return math.asinh(share / LINEAR)


def _axis(rows: Sequence[Gap]) -> Axis:
    """Every mean, interval and published figure, and zero."""
    tests = [finding.test for row in rows for finding in row.found.values() if finding.test]
    ends = [0.0, *(row.published for row in rows if row.published is not None)]
    ends += [value for test in tests for value in (test.mean, *(test.interval or ()))]
    return Axis(_scaled(min(ends)) - 0.5, _scaled(max(ends)) + 0.5, room=ROOM)


def _grid(axis: Axis, height: int) -> Iterator[str]:
    for point in POINTS:
        if axis.low <= _scaled(point) <= axis.high:
            x = f"{axis.x(_scaled(point)):.1f}"
            ends = f'x1="{x}" x2="{x}" y1="{TOP - 6}" y2="{height - BOTTOM + 2}"'
            yield f'<line {ends} stroke="{LINE}" stroke-width="{1 if point else 3}"/>'
            yield (
                f'<text x="{x}" y="{height - BOTTOM + 16}" text-anchor="middle" font-size="12" fill="{MUTED}">'
                f"{100 * point:+g}</text>".replace("+0<", "0<")
            )


def _column(axis: Axis, name: str) -> float:
    return axis.x(axis.high) + ROOM - COLUMNS[name]


def _heads(axis: Axis) -> Iterator[str]:
    for name in COLUMNS:
        x = _column(axis, name)
        yield f'<text x="{x:.1f}" y="{TOP - 2}" text-anchor="end" font-size="12" fill="{MUTED}">{name}</text>'


def _row(row: Gap, number: int, axis: Axis) -> Iterator[str]:
    y = middle(number)
    yield label(row.name, number)
    yield _figure(
        _column(axis, "published"), y, text.MISSING if row.published is None else text.bare_points(row.published)
    )
    for mode in MODES:
        finding = row.found.get(mode)
        yield from _mark(finding, mode, y, axis) if finding else ()
        yield _figure(_column(axis, mode), y, _mean(finding))
    if row.published is not None:
        yield diamond(axis.x(_scaled(row.published)), y, f"published: {text.bare_points(row.published)} points")


def _mean(finding: Finding | None) -> str:
    """In parentheses where it is not tested."""
    if finding is None or finding.test is None:
        return text.MISSING
    mean = text.bare_points(finding.test.mean)
    return mean if finding.testable else f"({mean})"


def _figure(x: float, y: float, words: str) -> str:
    return f'<text x="{x:.1f}" y="{y + 4:g}" text-anchor="end" fill="{TEXT}">{words}</text>'


def _mark(finding: Finding, mode: str, middle_of_row: float, axis: Axis) -> Iterator[str]:
    """The mean, hollow where it is not tested, and its interval."""
    assert finding.test, "claims without a figure are not drawn"
    colour, below = MODES[mode]
    y = middle_of_row + below
    if finding.test.interval:
        low, high = (axis.x(_scaled(end)) for end in finding.test.interval)
        yield (
            f'<line x1="{low:.1f}" x2="{high:.1f}" y1="{y:g}" y2="{y:g}" stroke="{colour}" stroke-width="5" '
            'stroke-opacity="0.25" stroke-linecap="round"/>'
        )
    fill = colour if finding.testable else "#ffffff"
    seeds = text.count(finding.test.seeds, "seed")
    tip = f"{mode}: {text.bare_points(finding.test.mean)} points, {seeds}: {finding.verdict}"
    x = axis.x(_scaled(finding.test.mean))
    yield (
        f'<circle cx="{x:.1f}" cy="{y:g}" r="4" fill="{fill}" stroke="{colour}" stroke-width="1.6">'
        f"<title>{tip}</title></circle>"
    )


def _legend(height: int) -> Iterator[str]:
    y = height - 10
    yield diamond(22, y - 4, "published")
    yield f'<text x="34" y="{y}" font-size="12" fill="{MUTED}">published</text>'
    for x, (mode, (colour, _)) in zip((104, 182), MODES.items(), strict=True):
        yield f'<circle cx="{x}" cy="{y - 4}" r="4" fill="{colour}"/>'
        yield f'<text x="{x + 10}" y="{y}" font-size="12" fill="{MUTED}">{mode}</text>'
    words = "band: 95% interval; hollow, in parentheses: not tested at this scale; logarithmic beyond ±1"
    yield f'<text x="252" y="{y}" font-size="12" fill="{MUTED}">{words}</text>'
