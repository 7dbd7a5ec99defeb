"""The attribution of a gap as table and waterfall."""

import plotly.graph_objects as go

from core.schemas.attribution import Attribution, Share
from core.schemas.statistics import SeedTest
from evaluator import text
from evaluator.report.charts import Figure, as_json, color, safe, table_heads
from evaluator.report.tables import Table

REST = "everything not named"


def table(found: Attribution) -> Table:
    """The gap, what each switch takes from it, and what is left."""
    headers = ("Switch", "Arm", "Gap after it", "Change", "95% interval", "Share", *(("Alone",) if found.alone else ()))
    alone = {share.key: share.change for share in found.alone}
    total = found.end.mean - found.start.mean
    rows = [_row(found.arms[0], found.arms[0], found.start, None, total, "", found)]
    for share in found.shares:
        rows.append(_row(share.key, share.arm, share.gap, share.change, total, _alone(alone, share), found))
    rows.append(_row(REST, found.arms[1], found.end, found.rest, total, "", found))
    first, second = map(text.framework, found.between)
    caption = (
        f"Test accuracy of {first} minus {second}, in points, over "
        f"{text.count(found.start.seeds, 'seed')}; switches are made in this order and stay made"
    )
    return Table(caption, headers, tuple(rows), names=2)


def sentence(found: Attribution) -> str:
    """What the shares amount to, and how sure that is."""
    first, second = map(text.framework, found.between)
    gap = (
        f"From {found.arms[0]} to {found.arms[1]} the gap between {first} and {second} goes from "
        f"{_points(found.start)} to {_points(found.end)} points."
    )
    if found.start.interval is None:
        return f"{gap} There is one seed, so no share can be told from luck."
    clear = [share.key for share in found.shares if share.change.interval and not _spans_zero(share.change.interval)]
    known = (
        f"Intervals that leave out zero: {text.names(clear)}." if clear else "No single switch can be told from luck."
    )
    if found.interaction is None:
        return f"{gap} {known}"
    return (
        f"{gap} {known} Made together the switches move it by {_points(found.interaction)} points more than each alone."
    )


def waterfall(found: Attribution) -> Figure:
    """The gap before, a floating bar for each switch, the gap after."""
    labels = [found.arms[0], *(share.key for share in found.shares), REST, found.arms[1]]
    changes = [*(share.change.mean for share in found.shares), found.rest.mean]
    bases, level = [0.0], found.start.mean
    for change in changes:
        bases.append(level)
        level += change
    sizes = [found.start.mean, *changes, found.end.mean]
    colors = [color("muted"), *(color("falls" if c < 0 else "rises") for c in changes), color("muted")]
    chart = go.Figure()
    chart.add_bar(
        x=[safe(label) for label in labels],
        y=[100 * size for size in sizes],
        base=[100 * base for base in [*bases, 0.0]],
        marker={"color": colors},
        text=[f"{100 * size:+.2f}" for size in sizes],
        textposition="outside",
        cliponaxis=False,
        showlegend=False,
        hovertemplate="%{x}: %{text} points<extra></extra>",
    )
    chart.update_layout(
        yaxis={"title": {"text": "points"}, "zeroline": True},
        xaxis={"type": "category"},
        barmode="overlay",
        meta=table_heads(x="Switch", y="Points"),
    )
    return as_json(chart)


def _row(
    name: str, arm: str, gap: SeedTest, change: SeedTest | None, total: float, alone: str, found: Attribution
) -> tuple[str, ...]:
    moved = (text.MISSING,) * 3
    if change is not None:
        share = text.percent(change.mean / total, 0) if total else text.MISSING
        moved = (_points(change), _interval(change), share)
    return (name, arm, _points(gap), *moved, *((alone or text.MISSING,) if found.alone else ()))


def _alone(alone: dict[str, SeedTest], share: Share) -> str:
    return _points(alone[share.key]) if share.key in alone else ""


def _points(test: SeedTest) -> str:
    return f"{100 * test.mean:+.2f}"


def _interval(test: SeedTest) -> str:
    return text.MISSING if test.interval is None else " to ".join(f"{100 * end:+.2f}" for end in test.interval)


def _spans_zero(interval: tuple[float, float]) -> bool:
    return interval[0] <= 0 <= interval[1]
