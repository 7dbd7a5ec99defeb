"""Plotly figures as JSON. Colours are names of the page's CSS variables, which the page resolves for its theme."""

import html
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from core import repeats
from core.schemas.metrics import EpochMetrics
from core.schemas.summary import Classification, Group, Row, SeedAccuracy, Summary, Training
from evaluator import naming, text
from evaluator.groups import by_framework

Figure = dict[str, Any]
SYMBOLS = {"keras": "circle", "tensorflow": "square", "pytorch": "diamond", "fastai": "triangle-up"}
GLYPHS = {"circle": "●", "square": "■", "diamond": "◆", "triangle-up": "▲", "diamond-open": "◇", "square-open": "□"}
GLYPHS |= {"triangle-up-open": "△", "x-thin-open": "×"}
"""A legend's sign for each of Plotly's symbols."""
DASHES = {"solid": "", "dot": "2 3", "dash": "6 3", "dashdot": "7 3 2 3", "longdash": "11 4", "longdashdot": "13 3 2 3"}
"""Plotly's names of dashes to SVG's, for the legend."""
ARM_SYMBOLS = ("circle", "diamond-open", "square-open", "triangle-up-open", "x-thin-open")
PHASES = ("data", "build", "train", "validate", "export")
SHARED_CLASSES = 10
"""With more classes the cells of a confusion matrix hold the count alone; hovering gives the share."""
COUNTED_CLASSES = 15
"""With more classes the cells of a confusion matrix are too small for a number; hovering gives it."""


def color(name: str) -> str:
    """The CSS variable of a framework, a training phase or a part of the page."""
    return f"var(--c-{name})"


def curves(trainings: Sequence[Training], figure: str) -> Figure:
    """One line for each training over epochs: `figure` is validation_accuracy or validation_loss.

    The first seed of a framework is drawn thick, its others thin.
    """
    share = figure.endswith("accuracy")
    chart, seen = go.Figure(), set()
    for training in trainings:
        first = training.framework not in seen
        seen.add(training.framework)
        name = text.framework(training.framework)
        chart.add_scatter(
            x=[epoch.epoch for epoch in training.history],
            y=[_value(epoch, figure) for epoch in training.history],
            name=name,
            meta={"series": f"{name}, seed {training.seed}"},
            showlegend=first,
            mode="lines+markers" if first and len(training.history) <= 30 else "lines",
            line={"color": color(training.framework), "width": 2.5 if first else 1},
            marker={"symbol": SYMBOLS[training.framework], "size": 6, "color": color(training.framework)},
            hovertemplate=f"{name} seed {training.seed}: %{{y:{'.2%' if share else '.4f'}}}<extra></extra>",
        )
    epochs = max((len(training.history) for training in trainings), default=1)
    chart.update_layout(
        hovermode="x unified",
        xaxis={"title": {"text": "Epoch"}, "range": [0.7, epochs + 0.3], "dtick": max(1, -(-epochs // 10))},
        yaxis={"tickformat": ".0%" if share else "", "rangemode": "normal" if share else "tozero"},
        meta=table_heads(series="Training", y="Validation accuracy" if share else "Validation loss"),
    )
    return as_json(chart)


def seeds(groups: Sequence[Group]) -> Figure:
    """Test accuracy of every seed by framework, the arms side by side, with the mean and its interval as lines."""
    chart = go.Figure()
    for number, arm in enumerate(dict.fromkeys(group.arm for group in groups)):
        points = [(group, seed) for group in groups if group.arm == arm for seed in group.seeds]
        symbol = ARM_SYMBOLS[number % len(ARM_SYMBOLS)]
        chart.add_scatter(
            x=[text.framework(group.framework) for group, _ in points],
            y=[seed.accuracy for _, seed in points],
            name=safe(arm),
            meta={"names": [f"{safe(arm)}, seed {seed.seed}" for _, seed in points]},
            mode="markers",
            offsetgroup=str(number),
            marker={
                "color": [color(group.framework) for group, _ in points],
                "symbol": symbol,
                "size": 10,
                "line": {"width": 2, "color": [color(group.framework) for group, _ in points]},
            },
            error_y=_whiskers(points),
            customdata=[[seed.seed, text.interval(seed.interval)] for _, seed in points],
            hovertemplate=f"{safe(arm)} %{{x}} s%{{customdata[0]}}: %{{y:.2%}} (%{{customdata[1]}})<extra></extra>",
        )
        means = [(g.framework, g.accuracy) for g in groups if g.arm == arm and g.accuracy and g.accuracy.count > 1]
        chart.add_scatter(
            x=[text.framework(framework) for framework, _ in means],
            y=[spread.mean for _, spread in means],
            name=f"{safe(arm)}, mean",
            mode="markers",
            offsetgroup=str(number),
            marker={"symbol": "line-ew-open", "size": 34, "line": {"width": 2}, "color": color("muted")},
            # Without an interval a whisker has no length: the mark hides it.
            error_y=_error_bars([(spread.mean, spread.interval or (spread.mean, spread.mean)) for _, spread in means]),
            customdata=[text.interval(spread.interval) if spread.interval else "no interval" for _, spread in means],
            hovertemplate=f"{safe(arm)} %{{x}} mean: %{{y:.2%}} (%{{customdata}})<extra></extra>",
            showlegend=False,
        )
    chart.update_layout(
        scattermode="group",
        scattergap=0.4,
        yaxis={"tickformat": ".1%", "range": _around(groups)},
        meta=table_heads(series="Arm and seed", x="Framework", y="Test accuracy"),
    )
    return as_json(chart)


def latency(summary: Summary) -> Figure:
    """A thick p50 bar on a thin p99 bar for each load-tested artefact, medians over the repeats."""
    rows = loaded_rows(summary)
    labels = _labels(rows)
    p50 = [repeats.typical(row.load, repeats.p50) for row in rows if row.load]
    p99 = [repeats.typical(row.load, repeats.p99) for row in rows if row.load]
    colors = [color(row.framework) for row in rows]
    chart = go.Figure()
    chart.add_bar(
        y=labels,
        x=p99,
        orientation="h",
        name="p99",
        width=0.12,
        marker={"color": colors, "line": {"width": 0}},
        text=[f"{text.significant(a)} / {text.significant(b)}" for a, b in zip(p50, p99, strict=True)],
        textposition="outside",
        constraintext="none",
        cliponaxis=False,
        hovertemplate="p99 %{x:.3g} ms<extra></extra>",
    )
    chart.add_bar(
        y=labels,
        x=p50,
        orientation="h",
        name="p50",
        width=0.5,
        marker={"color": colors, "line": {"width": 0}},
        hovertemplate="p50 %{x:.3g} ms<extra></extra>",
    )
    heads = table_heads(series="Percentile", x="Latency, ms", y="Artefact")
    return _bars(chart, 1.45 * max(p99, default=1.0), "ms, p50 / p99", heads)


def throughput(summary: Summary) -> Figure:
    """Images per second of each load-tested artefact, the median over the repeats."""
    rows = loaded_rows(summary)
    values = [repeats.typical(row.load, repeats.throughput) for row in rows if row.load]
    chart = go.Figure()
    chart.add_bar(
        y=_labels(rows),
        x=values,
        orientation="h",
        width=0.5,
        marker={"color": [color(row.framework) for row in rows]},
        text=[text.significant(value) for value in values],
        textposition="outside",
        cliponaxis=False,
        hovertemplate="%{x:,.4g} images/s<extra></extra>",
    )
    heads = table_heads(x="Images per second", y="Artefact")
    return _bars(chart, 1.25 * max(values, default=1.0), "images per second", heads)


def phases(trainings: Sequence[Training]) -> Figure:
    """Shares of wall time by phase of each framework's trainings in an arm, all seeds together."""
    groups = by_framework(trainings)
    several = len({arm for arm, _ in groups}) > 1
    labels = [label(text.framework(framework), arm if several else "") for arm, framework in groups]
    totals = [sum(sum(training.seconds.values()) for training in members) for members in groups.values()]
    chart = go.Figure()
    for phase in dict.fromkeys([*PHASES, *(name for training in trainings for name in training.seconds)]):
        spent = [sum(training.seconds.get(phase, 0.0) for training in members) for members in groups.values()]
        if any(spent):
            shares = [seconds / total if total else 0.0 for seconds, total in zip(spent, totals, strict=True)]
            means = [text.seconds(s / len(members)) for s, members in zip(spent, groups.values(), strict=True)]
            chart.add_bar(
                y=labels,
                x=shares,
                orientation="h",
                width=0.5,
                name=safe(phase),
                customdata=means,
                meta={"x": [f"{text.percent(share)}, {mean}" for share, mean in zip(shares, means, strict=True)]},
                # Neighbours of a stack are told apart by the gap between them, not by colour alone.
                marker={
                    "color": color(f"phase-{phase}" if phase in PHASES else "muted"),
                    "line": {"color": "var(--surface)", "width": 1.5},
                },
                hovertemplate=f"{safe(phase)} %{{x:.1%}}, %{{customdata}} a training<extra></extra>",
            )
    chart.update_layout(barmode="stack", xaxis={"tickformat": ".0%", "tickvals": [0, 0.25, 0.5, 0.75, 1]})
    heads = table_heads(series="Phase", x="Share of wall time, and mean of a training", y="Trainings")
    return _bars(chart, 1.02, "share of wall time", heads)


def confusion(result: Classification) -> Figure:
    """Counts, and below them shares of the true class. Correct predictions in one colour, mistakes in another, each on
    its own scale: few mistakes still show."""
    names = [safe(row.name) for row in result.classes]
    hits = [[n if i == j else None for j, n in enumerate(row)] for i, row in enumerate(result.confusion)]
    misses = [[n if i != j and n else None for j, n in enumerate(row)] for i, row in enumerate(result.confusion)]
    shares = [[text.percent(n / sum(row), 1) if sum(row) else text.MISSING for n in row] for row in result.confusion]
    counted = len(names) <= COUNTED_CLASSES
    shown = "%{z}<br>%{text}" if len(names) <= SHARED_CLASSES else "%{z}"
    chart = go.Figure()
    for cells, scale in ((hits, "hit"), (misses, "miss")):
        most = max((n for row in cells for n in row if n), default=1)
        chart.add_heatmap(
            z=cells,
            x=names,
            y=names,
            colorscale=[[0, color(f"{scale}-low")], [1, color(f"{scale}-high")]],
            # A cell without a figure is seen by its colour alone: no palest ones, and no gap of its own size.
            zmin=0 if counted else -most,
            zmax=most,
            showscale=False,
            xgap=2 if counted else 0,
            ygap=2 if counted else 0,
            hoverongaps=False,
            text=shares,
            meta={"shares": shares},
            texttemplate=shown if counted else "",
            textfont={"color": "var(--text)"},
            hovertemplate="true %{y}, predicted %{x}: %{z}, %{text} of its row<extra></extra>",
        )
    axis = {"type": "category", "showgrid": False, "tickangle": 0 if len(names) <= 12 else -90}
    chart.update_layout(
        xaxis={**axis, "title": {"text": "Predicted"}},
        yaxis={**axis, "title": {"text": "True"}, "tickangle": 0, "autorange": "reversed"},
        meta=table_heads(value="Images"),
    )
    return as_json(chart)


@dataclass(frozen=True)
class Key:
    """What a legend says of one trace."""

    color: str
    sign: str
    name: str
    dashes: str | None
    """Of its line, as SVG's stroke-dasharray; None where all lines of the chart are alike."""


def legend(figure: Figure) -> list[Key]:
    """Each trace to explain; the page writes it, because Plotly's own does not fit a phone."""
    shown = [trace for trace in figure["data"] if trace.get("showlegend", True) and "name" in trace]
    dashes = [trace.get("line", {}).get("dash", "solid") for trace in shown]
    varied = len(set(dashes)) > 1
    return [
        Key(
            color=own if isinstance(own := trace["marker"]["color"], str) else color("muted"),
            sign=GLYPHS[_symbol(trace["marker"])],
            name=html.unescape(trace["name"]),
            dashes=DASHES[dash] if varied else None,
        )
        for trace, dash in zip(shown, dashes, strict=True)
    ]


def _symbol(marker: dict[str, Any]) -> str:
    """Of a trace; where each mark has its own, hollow or not, the full one."""
    own = marker.get("symbol", "square")
    return own if isinstance(own, str) else own[0].removesuffix("-open")


def loaded_rows(summary: Summary) -> list[Row]:
    """Rows with a load test, in the order of the table."""
    return [row for row in summary.rows if row.load]


def bar_height(bars: int) -> int:
    """Pixels a chart of horizontal bars needs."""
    return 110 + 44 * max(1, bars)


def _labels(rows: Sequence[Row]) -> list[str]:
    """Two lines for each row; the second says what the rows do not share."""
    shared = {name: len({getattr(row, name) for row in rows}) < 2 for name in ("arm", "seed")}
    twice = len({(row.model, row.version) for row in rows}) < len(rows)
    labels = []
    for row in rows:
        parts = ["" if shared["arm"] else row.arm, "" if shared["seed"] else f"seed {row.seed}"]
        parts.append(text.runtime(row.runtime) if twice else "")
        parts.append("contended" if row.load and row.load.contended else "")
        head = f"{text.framework(row.framework)} {naming.made(row)}"
        labels.append(label(head, ", ".join(filter(None, parts))))
    return labels


def label(head: str, small: str) -> str:
    """Of a bar or row, with a second line in small print where there is one."""
    return f'{safe(head)}<br><span style="font-size:0.85em">{safe(small)}</span>' if small else safe(head)


def _bars(chart: go.Figure, end: float, title: str, heads: dict[str, str]) -> Figure:
    chart.update_layout(
        meta=heads,
        barmode=chart.layout.barmode or "overlay",
        xaxis={"title": {"text": title}, "range": [0, end], "rangemode": "tozero"},
        yaxis={"autorange": "reversed", "showgrid": False, "type": "category"},
        hovermode="y unified",
    )
    return as_json(chart)


def _whiskers(points: Sequence[tuple[Group, SeedAccuracy]]) -> dict[str, Any]:
    """Wilson intervals where each framework has one seed; with several seeds the mean has whiskers in their place."""
    if len({group.framework for group, _ in points}) < len(points):
        return {"visible": False}
    return _error_bars([(seed.accuracy, seed.interval) for _, seed in points])


def _error_bars(values: Sequence[tuple[float, tuple[float, float]]]) -> dict[str, Any]:
    """Whiskers from values to the ends of their intervals."""
    return {
        "type": "data",
        "symmetric": False,
        "array": [high - value for value, (_, high) in values],
        "arrayminus": [value - low for value, (low, _) in values],
        "color": color("muted"),
        "thickness": 1.5,
        "width": 5,
    }


def _around(groups: Sequence[Group]) -> list[float]:
    """A range that shows every accuracy and interval; of an interval over seeds what accuracies can be."""
    shown = [x for group in groups for x in _extremes(group)]
    low, high = max(0.0, min(shown)), min(1.0, max(shown))
    margin = 0.08 * (high - low) or 0.01
    return [low - margin, high + margin]


def _extremes(group: Group) -> Iterator[float]:
    """Accuracies and the ends of their mean's interval; of a single seed the ends of its own."""
    if len(group.seeds) == 1:
        yield from group.seeds[0].interval
        return
    yield from (seed.accuracy for seed in group.seeds)
    if group.accuracy and group.accuracy.interval:
        yield from group.accuracy.interval


def _value(epoch: EpochMetrics, figure: str) -> float:
    return float(getattr(epoch, figure))


def table_heads(**heads: str) -> dict[str, str]:
    """Headings of the chart's table, by `series`, `x`, `y` and `value`; without one of x or y the axis's title serves.

    Traces of one name say in `meta` what tells them apart there: `series`, or `names` with one for each point.
    """
    return heads


def safe(name: str) -> str:
    """A name as Plotly shows it literally: its labels understand a little HTML."""
    return html.escape(name)


def as_json(chart: go.Figure) -> Figure:
    """The figure without Plotly's own template: the page brings its looks."""
    chart.update_layout(template="none")
    figure: Figure = json.loads(chart.to_json())
    figure["layout"].pop("template", None)
    return figure
