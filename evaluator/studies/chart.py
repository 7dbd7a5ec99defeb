"""One picture per study: every seed's accuracy, the mean with its interval, and what was published. Plain SVG."""

from collections.abc import Iterator, Sequence
from html import escape

from core.schemas.study import Study
from core.schemas.summary import Group, Summary
from evaluator import text
from evaluator.claims.arms import short_arm
from evaluator.studies.svg import (
    BOTTOM,
    COLOURS,
    LEFT,
    LINE,
    MUTED,
    TOP,
    Axis,
    diamond,
    height_of,
    label,
    middle,
    picture,
)

TICKS = 5


def chart(summary: Summary, study: Study) -> str:
    """SVG text; equal inputs give equal bytes."""
    groups = [group for group in summary.groups if group.accuracy]
    published = published_accuracies(study)
    axis = _axis(groups, published)
    height = height_of(len(groups))
    rows = [
        part
        for number, group in enumerate(groups)
        for part in _row(group, short_arm(group.arm, summary), number, axis, published)
    ]
    parts = [*_grid(axis, height), *rows, *_legend(height, bool(published))]
    return picture(f"Test accuracy, {summary.title}", len(groups), parts)


def published_accuracies(study: Study) -> dict[tuple[str, str], float]:
    """Arm and framework to the study's figure."""
    return {
        (arm, side.framework): side.published
        for claim in study.claims
        for side in claim.sides
        if claim.measure_of(side) == "accuracy"
        for arm in side.arms
        if side.published is not None and not side.bound
    }


def _axis(groups: Sequence[Group], published: dict[tuple[str, str], float]) -> Axis:
    """Every seed, interval and published figure, within what an accuracy can be."""
    values = [seed.accuracy for group in groups for seed in group.seeds]
    values += [end for group in groups if group.accuracy for end in group.accuracy.interval or ()]
    values += [v for g in groups if (v := published.get((g.arm, g.framework))) is not None]
    low, high = min(values, default=0.0), max(values, default=1.0)
    margin = max(0.08 * (high - low), 0.005)
    return Axis(max(0.0, low - margin), min(1.0, high + margin))


def _grid(axis: Axis, height: int) -> Iterator[str]:
    for tick in (axis.low + (axis.high - axis.low) * number / (TICKS - 1) for number in range(TICKS)):
        x = f"{axis.x(tick):.1f}"
        yield f'<line x1="{x}" x2="{x}" y1="{TOP - 6}" y2="{height - BOTTOM + 2}" stroke="{LINE}"/>'
        figure = text.percent(tick, 1)
        yield f'<text x="{x}" y="{height - BOTTOM + 18}" text-anchor="middle" fill="{MUTED}">{figure}</text>'


def _row(group: Group, arm: str, number: int, axis: Axis, published: dict[tuple[str, str], float]) -> Iterator[str]:
    y, colour = middle(number), COLOURS[group.framework]
    name = f"{text.framework(group.framework)} · {arm}"
    yield label(name, number)
    assert group.accuracy, "rows without accuracy are not drawn"
    if interval := group.accuracy.interval:
        low, high = (axis.x(min(max(end, axis.low), axis.high)) for end in interval)
        yield (
            f'<line x1="{low:.1f}" x2="{high:.1f}" y1="{y}" y2="{y}" stroke="{colour}" stroke-width="7" '
            'stroke-opacity="0.22" stroke-linecap="round"/>'
        )
    for seed in group.seeds:
        tip = escape(f"{name}, seed {seed.seed}: {text.percent(seed.accuracy)}")
        yield (
            f'<circle cx="{axis.x(seed.accuracy):.1f}" cy="{y}" r="4" fill="{colour}" fill-opacity="0.75">'
            f"<title>{tip}</title></circle>"
        )
    mean = axis.x(group.accuracy.mean)
    yield f'<line x1="{mean:.1f}" x2="{mean:.1f}" y1="{y - 9}" y2="{y + 9}" stroke="{colour}" stroke-width="2"/>'
    if (figure := published.get((group.arm, group.framework))) is not None:
        yield diamond(axis.x(figure), y, f"published: {text.percent(figure)}")


def _legend(height: int, published: bool) -> Iterator[str]:
    y = height - 10
    signs = "● one seed   | mean   ▬ 95% interval of the mean"
    yield f'<text x="{LEFT}" y="{y}" font-size="12" fill="{MUTED}">{signs}</text>'
    if published:
        yield diamond(LEFT + 310, y - 4, "published")
        yield f'<text x="{LEFT + 322}" y="{y}" font-size="12" fill="{MUTED}">published by the study</text>'
