"""The studies at a glance: each published difference between two frameworks, and what is left of it with the
frameworks' own defaults and with everything equal. Plain SVG."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from core.schemas.study import Claim
from evaluator import text
from evaluator.studies.arms import short_arm
from evaluator.studies.chapter import Chapter
from evaluator.studies.findings import published_gap
from evaluator.studies.judge import NOT_TESTED, Finding
from evaluator.studies.overview import best_evidence
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
LINEAR = 0.01
"""Up to about here the axis is linear, beyond it logarithmic: published differences are from 0.4 to 84 points."""


@dataclass(frozen=True)
class Gap:
    """One claim that compares the accuracy of two frameworks by one measure."""

    name: str
    published: float | None
    found: dict[str, Finding]
    """By mode."""


def gaps(chapters: Sequence[Chapter]) -> list[Gap]:
    """Every such claim, with the best evidence of each mode, in the order of the studies and of their claims."""
    rows: dict[tuple[str, str], Gap] = {}
    for one, finding in sorted(best_evidence(chapters), key=_place):
        if finding.test and _compares_frameworks(finding.claim):
            new = Gap(_name(one, finding), published_gap(finding.claim), {})
            rows.setdefault((one.study_key, finding.claim.text), new).found[finding.mode] = finding
    return list(rows.values())


def _place(evidence: tuple[Chapter, Finding]) -> tuple[str, int]:
    one, finding = evidence
    return one.study_key, one.study.claims.index(finding.claim)


def gap_chart(chapters: Sequence[Chapter]) -> str:
    """SVG text; equal inputs give equal bytes."""
    rows = gaps(chapters)
    axis, height = _axis(rows), height_of(len(rows))
    parts = [part for number, row in enumerate(rows) for part in _row(row, number, axis)]
    title = "Difference in accuracy between two frameworks, in points"
    return picture(title, len(rows), [*_grid(axis, height), *_heads(axis), *parts, *_legend(height)])


def _compares_frameworks(claim: Claim) -> bool:
    frameworks = {side.framework for side in claim.sides}
    measures = {claim.measure_of(side) for side in claim.sides}
    return len(frameworks) == 2 and len(measures) == 1 and not claim.is_about_time and claim.of_class is None


def _name(one: Chapter, finding: Finding) -> str:
    frameworks = [text.framework(side.side.framework) for side in finding.sides]
    arms = [_arm(short_arm(side.arm, one.summary), finding.mode) for side in finding.sides]
    if len(set(arms)) == 1:
        return f"{one.study_key.upper()} · {' − '.join(frameworks)}" + f", {arms[0]}" * bool(arms[0])
    sides = (f"{framework} {arm}".strip() for framework, arm in zip(frameworks, arms, strict=True))
    return f"{one.study_key.upper()} · {' − '.join(sides)}"


def _arm(name: str, mode: str) -> str:
    """Without what all arms of the row have in their names."""
    return f"-{name}".removesuffix(f"-{mode}").removeprefix("-")


def _scaled(share: float) -> float:
    return math.asinh(share / LINEAR)


def _axis(rows: Sequence[Gap]) -> Axis:
    """Every mean and published figure, and zero; intervals may end beyond it."""
    ends = [0.0, *(row.published for row in rows if row.published is not None)]
    ends += [finding.test.mean for row in rows for finding in row.found.values() if finding.test]
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
    return f"({mean})" if finding.verdict == NOT_TESTED else mean


def _figure(x: float, y: float, words: str) -> str:
    return f'<text x="{x:.1f}" y="{y + 4:g}" text-anchor="end" fill="{TEXT}">{words}</text>'


def _mark(finding: Finding, mode: str, middle_of_row: float, axis: Axis) -> Iterator[str]:
    """The mean, hollow where it is not tested, and its interval."""
    assert finding.test, "claims without a figure are not drawn"
    colour, below = MODES[mode]
    y = middle_of_row + below
    if finding.test.interval:
        low, high = (axis.x(min(max(_scaled(end), axis.low), axis.high)) for end in finding.test.interval)
        yield (
            f'<line x1="{low:.1f}" x2="{high:.1f}" y1="{y:g}" y2="{y:g}" stroke="{colour}" stroke-width="5" '
            'stroke-opacity="0.25" stroke-linecap="round"/>'
        )
    fill = "#ffffff" if finding.verdict == NOT_TESTED else colour
    tip = f"{mode}: {text.bare_points(finding.test.mean)} points, {finding.test.seeds} seeds: {finding.verdict}"
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
    words = "band: 95% interval; hollow, in parentheses: not tested at this scale; axis: arsinh"
    yield f'<text x="252" y="{y}" font-size="12" fill="{MUTED}">{words}</text>'
