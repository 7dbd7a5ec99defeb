"""The attribution of a gap as table and waterfall."""

from collections.abc import Iterator
from dataclasses import dataclass

import plotly.graph_objects as go

from core.schemas.attribution import Attribution, Share
from core.schemas.statistics import SeedTest
from evaluator import text
from evaluator.paired import ALPHA
from evaluator.report.charts import Figure, as_json, color, safe, table_heads
from evaluator.report.tables import Table

REST = "everything not named"
INTERACTION = "interaction"
UNTESTED, UNCLEAR = "not tested", "not distinguishable from none"
"""Of a change that may be luck: no share is said of it."""


def table(found: Attribution) -> Table:
    """The gap, what each switch takes from it, what is left, and the interaction where it was measured."""
    figures = ("Gap after it", "Change", "95% interval", "p, corrected", "Share")
    headers = ("Switch", "Arm", *figures, *(("Alone",) if found.alone else ()))
    alone = {share.key: share.change for share in found.alone}
    total = found.end.mean - found.start.mean
    rows = [_row(found.arms[0], found.arms[0], found.start, None, total, "", found)]
    for share in found.shares:
        rows.append(_row(share.key, share.arm, share.gap, share.change, total, _alone(alone, share), found))
    rows.append(_row(REST, found.arms[1], found.end, found.rest, total, "", found))
    if found.interaction is not None:
        # Its points are in the changes above already: what can be told from none has no share of its own.
        moved = _moved(found.interaction, _share(found.interaction, total=0.0))
        rows.append((INTERACTION, text.MISSING, text.MISSING, *moved, *((text.MISSING,) if found.alone else ())))
    return Table(_caption(found), headers, tuple(rows), names=2)


def _caption(found: Attribution) -> str:
    first, second = map(text.framework, found.between)
    together = (
        ""
        if found.interaction is None
        else f". {INTERACTION.capitalize()}: all switches together beyond the sum of "
        "each alone; a part of the changes above it"
    )
    return (
        f"Test accuracy of {first} minus {second}, in points, over "
        f"{text.count(found.start.seeds, 'seed')}; switches are made in this order and stay made. Paired t tests of "
        f"all changes, corrected by Holm together; intervals are not corrected. {UNCLEAR.capitalize()}: a corrected p "
        f"of {ALPHA:g} or more. Share: of the move from first gap to last; may be negative or above 100%{together}"
    )


def sentence(found: Attribution) -> str:
    """What the shares amount to, and how sure that is."""
    first, second = map(text.framework, found.between)
    gap = (
        f"From {found.arms[0]} to {found.arms[1]} the gap between {first} and {second} goes from "
        f"{text.bare_points(found.start.mean)} to {text.bare_points(found.end.mean)} points."
    )
    if found.start.seeds < 2:
        return f"{gap} There is one seed, so no share can be told from luck."
    clear = [share.key for share in found.shares if is_clear(share.change)]
    if clear:
        known = f"Changes that can be told from none: {text.names(clear)}."
    elif all(share.change.p_adjusted is None for share in found.shares):
        known = "No switch's change was tested: too few seeds, or the same change in every one."
    else:
        known = "No switch's change can be told from none."
    if found.interaction is None:
        return f"{gap} {known}"
    return f"{gap} {known} {_together(found.interaction)}"


def _together(interaction: SeedTest) -> str:
    interval = f" (95% interval {text.bare_range(interaction.interval)})" if interaction.interval else ""
    doubt = "" if is_clear(interaction) else f", which {_doubt(interaction)}"
    apart = f"{text.bare_points(interaction.mean)} points{interval}"
    return f"What the switches move together differs from the sum of what each moves alone by {apart}{doubt}."


def _doubt(change: SeedTest) -> str:
    return f"was {UNTESTED}" if change.p_adjusted is None else f"is {UNCLEAR}"


def is_clear(change: SeedTest) -> bool:
    """Whether a change can be told from none, after the correction for all changes."""
    return change.p_adjusted is not None and change.p_adjusted < ALPHA


@dataclass(frozen=True)
class Bar:
    """One bar of a waterfall; shares of one."""

    label: str
    base: float
    """Where it begins."""
    size: float
    clear: bool = True
    """False: not distinguishable from none."""
    gap: bool = False
    """Of an arm, beginning at zero; others are changes."""

    @property
    def figure(self) -> str:
        """Points; in parentheses where they may be luck."""
        points = text.bare_points(self.size)
        return points if self.clear else f"({points})"


def bars(found: Attribution) -> Iterator[Bar]:
    """The first gap, the changes from there on, and the last gap; then the interaction, from where each switch alone
    would lead to where all of them together do, so a part of the changes before."""
    yield Bar(found.arms[0], 0.0, found.start.mean, gap=True)
    level = found.start.mean
    for label, change in (*((share.key, share.change) for share in found.shares), (REST, found.rest)):
        yield Bar(label, level, change.mean, is_clear(change))
        level += change.mean
    yield Bar(found.arms[1], 0.0, found.end.mean, gap=True)
    if found.interaction is not None:
        apart = found.start.mean + sum(share.change.mean for share in found.alone)
        yield Bar(INTERACTION, apart, found.interaction.mean, is_clear(found.interaction))


def waterfall(found: Attribution) -> Figure:
    """The gap before, a floating bar for each switch, the gap after; what may be luck is hatched and in parentheses."""
    drawn = list(bars(found))
    chart = go.Figure()
    chart.add_bar(
        x=[safe(bar.label) for bar in drawn],
        y=[100 * bar.size for bar in drawn],
        base=[100 * bar.base for bar in drawn],
        marker={
            "color": [color("muted" if bar.gap else "falls" if bar.size < 0 else "rises") for bar in drawn],
            "pattern": {"shape": ["" if bar.clear else "/" for bar in drawn]},
        },
        text=[bar.figure for bar in drawn],
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
    moved = (text.MISSING,) * 4 if change is None else _moved(change, _share(change, total))
    return (name, arm, text.bare_points(gap.mean), *moved, *((alone or text.MISSING,) if found.alone else ()))


def _moved(change: SeedTest, share: str) -> tuple[str, str, str, str]:
    p_value = text.MISSING if change.p_adjusted is None else text.p_value(change.p_adjusted)
    return text.bare_points(change.mean), text.bare_range(change.interval), p_value, share


def _share(change: SeedTest, total: float) -> str:
    if change.p_adjusted is None:
        return UNTESTED
    if not is_clear(change):
        return UNCLEAR
    return text.percent(change.mean / total, 0) if total else text.MISSING


def _alone(alone: dict[str, SeedTest], share: Share) -> str:
    if share.key not in alone:
        return ""
    change = alone[share.key]
    moved = text.bare_points(change.mean)
    if change.p_adjusted is None:
        return f"{moved} ({UNTESTED})"
    return moved if is_clear(change) else f"{moved} ({UNCLEAR})"
