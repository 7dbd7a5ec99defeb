"""Plotly figures of probabilities, agreement and trade-offs, in the manner of `evaluator.report.charts`."""

from collections.abc import Sequence
from math import log10, sqrt

import plotly.graph_objects as go

from core import repeats
from core.schemas.scores import Agreement, Curve
from core.schemas.summary import Classification, Row, Summary
from evaluator import naming, pareto, text
from evaluator.report.charts import SYMBOLS, Figure, as_json, color, safe, table_heads

CORNERS = (0.9, 0.8, 0.5)
"""Where every curve runs inside such a corner of the unit square, only the corner is drawn."""
TICKS = tuple(digit * 10.0**power for power in range(-3, 6) for digit in (1, 1.5, 2, 3, 5, 7))
"""Milliseconds a logarithmic axis may name."""
COUNTED = 12
"""With more artefacts the cells of an agreement matrix are too small for a number; hovering gives it."""
SMALLEST_MARK, LARGEST_MARK = 9.0, 34.0
"""Diameters in pixels of the trade-off chart's marks; areas are proportional to sizes in between."""


def reliability(results: Sequence[Classification], rows: Sequence[Row]) -> Figure:
    """Accuracy over confidence, one line for each framework, with the diagonal of a calibrated model."""
    chart = go.Figure()
    _diagonal(chart, 0.0)
    for result in results:
        scores = rows[result.row].scores if result.row is not None else None
        if scores is None:
            continue
        bins = scores.calibration.bins
        name = text.framework(result.framework)
        chart.add_scatter(
            x=[one.confidence for one in bins],
            y=[one.accuracy for one in bins],
            name=name,
            mode="lines+markers",
            line={"color": color(result.framework), "width": 2},
            marker={
                "symbol": SYMBOLS[result.framework],
                "size": [5 + 2.5 * log10(one.images) for one in bins],
                "color": color(result.framework),
                "line": {"width": 0},
            },
            customdata=[[one.images, text.interval(one.interval)] for one in bins],
            hovertemplate=(
                f"{name}: confidence %{{x:.1%}}, accuracy %{{y:.1%}} (%{{customdata[1]}}), "
                "%{customdata[0]:,} images<extra></extra>"
            ),
        )
    return _unit_square(chart, "Confidence", "Accuracy", 0.0)


def roc(results: Sequence[Classification]) -> Figure:
    """True over false positive rate, one line for each framework."""
    curves = [(result, result.roc) for result in results if result.roc]
    start = next((corner for corner in CORNERS if all(_inside(curve, corner) for _, curve in curves)), 0.0)
    chart = go.Figure()
    _lines(chart, curves, "false positive rate %{x:.4f}, true %{y:.4f}")
    return _unit_square(chart, "False positive rate", "True positive rate", start, from_left=True)


def precision_recall(results: Sequence[Classification]) -> Figure:
    """Precision over recall, one line for each framework."""
    curves = [(result, result.precision_recall) for result in results if result.precision_recall]
    lowest = min((min(curve.y) for _, curve in curves), default=0.0)
    start = next((corner for corner in CORNERS if lowest >= corner), 0.0)
    chart = go.Figure()
    _lines(chart, curves, "recall %{x:.4f}, precision %{y:.4f}")
    return _unit_square(chart, "Recall", "Precision", start)


def agreement(found: Agreement, rows: Sequence[Row]) -> Figure:
    """Share of images that each two artefacts gave the same class."""
    shown = [rows[index] for index in found.rows]
    names = [artefact(row, shown) for row in shown]
    place = {index: number for number, index in enumerate(found.rows)}
    cells: list[list[float | None]] = [[None] * len(names) for _ in names]
    for pair in found.pairs:
        first, second = place[pair.first], place[pair.second]
        cells[first][second] = cells[second][first] = pair.agreement
    shares = [pair.agreement for pair in found.pairs]
    chart = go.Figure()
    chart.add_heatmap(
        z=cells,
        x=[safe(name) for name in names],
        y=[safe(name) for name in names],
        colorscale=[[0, color("hit-low")], [1, color("hit-high")]],
        zmin=min(shares),
        zmax=max(shares) if max(shares) > min(shares) else min(shares) + 1e-9,
        showscale=False,
        xgap=2,
        ygap=2,
        hoverongaps=False,
        texttemplate="%{z:.1%}" if len(names) <= COUNTED else "",
        textfont={"color": "var(--text)"},
        hovertemplate="%{y} and %{x}: %{z:.2%} the same<extra></extra>",
    )
    axis = {"type": "category", "showgrid": False}
    chart.update_layout(
        xaxis={**axis, "tickangle": -40},
        yaxis={**axis, "autorange": "reversed"},
        meta=table_heads(x="Second artefact", y="First artefact", value="Share of images with the same answer"),
    )
    return as_json(chart)


def trade_offs(summary: Summary) -> Figure:
    """Accuracy over p99, the area of a mark for the size; the artefacts that another beats in all three are hollow."""
    rows = summary.rows
    shown = pareto.candidates(rows)
    largest = max((rows[index].size_bytes for index in shown), default=1)
    others = [rows[index] for index in shown]
    chart = go.Figure()
    for framework in dict.fromkeys(rows[index].framework for index in shown):
        own = [index for index in shown if rows[index].framework == framework]
        loads = [load for index in own if (load := rows[index].load)]
        front = [pareto.dominator(rows, index, shown) is None for index in own]
        chart.add_scatter(
            x=[repeats.typical(load, repeats.p99) for load in loads],
            y=[rows[index].accuracy for index in own],
            name=text.framework(framework),
            meta={"names": [f"{safe(artefact(rows[i], others))}, {text.size(rows[i].size_bytes)}" for i in own]},
            mode="markers",
            marker={
                "symbol": [SYMBOLS[framework] + "-open" * (not best) for best in front],
                "color": color(framework),
                "size": [_diameter(rows[index].size_bytes, largest) for index in own],
                "opacity": 0.9,
                "line": {"width": [0 if best else 2 for best in front]},
            },
            customdata=[
                [
                    safe(artefact(rows[i], others)),
                    text.size(rows[i].size_bytes),
                    "on the Pareto front" if best else "beaten",
                ]
                for i, best in zip(own, front, strict=True)
            ],
            hovertemplate=(
                "%{customdata[0]}<br>accuracy %{y:.2%}, p99 %{x:.3g} ms, %{customdata[1]}<br>"
                "%{customdata[2]}<extra></extra>"
            ),
        )
    chart.update_layout(
        xaxis={
            "title": {"text": "p99 latency, ms"},
            "type": "log",
            "tickvals": TICKS,
            "ticktext": [f"{tick:g}" for tick in TICKS],
        },
        yaxis={"title": {"text": "Accuracy"}, "tickformat": ".2%", "nticks": 6},
        meta=table_heads(series="Artefact and size"),
    )
    return as_json(chart)


def artefact(row: Row, rows: Sequence[Row]) -> str:
    """Framework, and of format, arm and seed what the rows do not share."""
    parts = [text.framework(row.framework)]
    parts += [naming.served(row)] if len({naming.served(other) for other in rows}) > 1 else []
    parts += [row.arm] if len({other.arm for other in rows}) > 1 else []
    parts += [f"s{row.seed}"] if len({other.seed for other in rows}) > 1 else []
    return " ".join(parts)


def zoomed(figure: Figure) -> bool:
    """True where a unit square shows its corner only."""
    return bool(figure["layout"]["yaxis"]["range"][0] > 0)


def _lines(chart: go.Figure, curves: Sequence[tuple[Classification, Curve]], hover: str) -> None:
    for result, curve in curves:
        name = text.framework(result.framework)
        chart.add_scatter(
            x=curve.x,
            y=curve.y,
            name=name,
            mode="lines",
            line={"color": color(result.framework), "width": 2},
            marker={"symbol": SYMBOLS[result.framework], "color": color(result.framework)},
            hovertemplate=f"{name}: {hover}<extra></extra>",
        )


def _diagonal(chart: go.Figure, start: float) -> None:
    chart.add_scatter(
        x=[start, 1],
        y=[start, 1],
        mode="lines",
        line={"color": color("muted"), "width": 1, "dash": "dot"},
        hoverinfo="skip",
        showlegend=False,
    )


def _unit_square(chart: go.Figure, x: str, y: str, start: float, from_left: bool = False) -> Figure:
    margin = 0.02 * (1 - start)
    across = [-margin, 1 - start + margin] if from_left else [start - margin, 1 + margin]
    chart.update_layout(
        xaxis={"title": {"text": x}, "range": across, "nticks": 6},
        yaxis={"title": {"text": y}, "range": [start - margin, 1 + margin], "nticks": 6},
        meta=table_heads(series="Framework"),
    )
    return as_json(chart)


def _inside(curve: Curve, corner: float) -> bool:
    """True where a ROC curve has climbed to the corner within its first tenth."""
    return any(x <= (1 - corner) / 10 and y >= corner for x, y in zip(curve.x, curve.y, strict=True))


def _diameter(size: int, largest: int) -> float:
    return max(SMALLEST_MARK, LARGEST_MARK * sqrt(size / largest))
