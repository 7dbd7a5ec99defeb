"""One picture per study: every seed's accuracy, the mean with its interval, and what was published. Plain SVG."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from core.schemas.study import Study
from core.schemas.summary import Group, Summary
from evaluator import text

COLOURS = {"keras": "#c2265a", "tensorflow": "#d97f00", "pytorch": "#2f66e0", "fastai": "#0c8f7f"}
TEXT, MUTED, LINE = "#12151b", "#596170", "#e4e7ec"
WIDTH, LEFT, RIGHT, ROW, TOP, BOTTOM = 860, 250, 30, 30, 46, 40
TICKS = 5


@dataclass(frozen=True)
class Axis:
    """Maps accuracies to horizontal positions."""

    low: float
    high: float

    def x(self, value: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (value - self.low) / (self.high - self.low)

    @property
    def ticks(self) -> list[float]:
        return [self.low + (self.high - self.low) * number / (TICKS - 1) for number in range(TICKS)]


def chart(summary: Summary, study: Study) -> str:
    """SVG text; equal inputs give equal bytes."""
    groups = [group for group in summary.groups if group.accuracy]
    published = published_accuracies(study)
    axis = _axis(groups, published)
    height = TOP + ROW * max(1, len(groups)) + BOTTOM
    title = escape(f"Test accuracy, {summary.title}")
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'role="img" aria-label="{title}" font-family="system-ui, sans-serif" font-size="13">\n'
        f'<rect width="{WIDTH}" height="{height}" rx="10" fill="#ffffff"/>\n'
        f'<text x="16" y="26" font-size="15" font-weight="600" fill="{TEXT}">{title}</text>'
    )
    rows = [part for number, group in enumerate(groups) for part in _row(group, number, axis, published)]
    return "\n".join([head, *_grid(axis, height), *rows, *_legend(height, bool(published)), "</svg>"]) + "\n"


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
    values = [seed.accuracy for group in groups for seed in group.seeds]
    values += [v for g in groups if (v := published.get((g.arm, g.framework))) is not None]
    low, high = min(values, default=0.0), max(values, default=1.0)
    margin = max(0.08 * (high - low), 0.005)
    return Axis(max(0.0, low - margin), min(1.0, high + margin))


def _grid(axis: Axis, height: int) -> Iterator[str]:
    for tick in axis.ticks:
        x = f"{axis.x(tick):.1f}"
        yield f'<line x1="{x}" x2="{x}" y1="{TOP - 6}" y2="{height - BOTTOM + 2}" stroke="{LINE}"/>'
        label = text.percent(tick, 1)
        yield f'<text x="{x}" y="{height - BOTTOM + 18}" text-anchor="middle" fill="{MUTED}">{label}</text>'


def _row(group: Group, number: int, axis: Axis, published: dict[tuple[str, str], float]) -> Iterator[str]:
    y, colour = TOP + ROW * number + ROW / 2, COLOURS[group.framework]
    name = escape(f"{text.framework(group.framework)} · {group.arm}")
    yield f'<text x="{LEFT - 14}" y="{y + 4:.1f}" text-anchor="end" fill="{TEXT}">{name}</text>'
    assert group.accuracy, "rows without accuracy are not drawn"
    if interval := group.accuracy.interval:
        low, high = (axis.x(min(max(end, axis.low), axis.high)) for end in interval)
        yield (
            f'<line x1="{low:.1f}" x2="{high:.1f}" y1="{y}" y2="{y}" stroke="{colour}" stroke-width="7" '
            'stroke-opacity="0.22" stroke-linecap="round"/>'
        )
    for seed in group.seeds:
        tip = f"{name}, seed {seed.seed}: {text.percent(seed.accuracy)}"
        yield (
            f'<circle cx="{axis.x(seed.accuracy):.1f}" cy="{y}" r="4" fill="{colour}" fill-opacity="0.75">'
            f"<title>{tip}</title></circle>"
        )
    mean = axis.x(group.accuracy.mean)
    yield f'<line x1="{mean:.1f}" x2="{mean:.1f}" y1="{y - 9}" y2="{y + 9}" stroke="{colour}" stroke-width="2"/>'
    if (figure := published.get((group.arm, group.framework))) is not None:
        yield _diamond(axis.x(figure), y, f"published: {text.percent(figure)}")


def _diamond(x: float, y: float, tip: str) -> str:
    points = f"{x:.1f},{y - 6} {x + 6:.1f},{y} {x:.1f},{y + 6} {x - 6:.1f},{y}"
    return (
        f'<polygon points="{points}" fill="#ffffff" stroke="{TEXT}" stroke-width="1.6"><title>{tip}</title></polygon>'
    )


def _legend(height: int, published: bool) -> Iterator[str]:
    y = height - 10
    signs = "● one seed   | mean   ▬ 95% interval of the mean"
    yield f'<text x="{LEFT}" y="{y}" font-size="12" fill="{MUTED}">{signs}</text>'
    if published:
        yield _diamond(LEFT + 310, y - 4, "published")
        yield f'<text x="{LEFT + 322}" y="{y}" font-size="12" fill="{MUTED}">published by the study</text>'
