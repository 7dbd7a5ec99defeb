"""Charts of load tests: latency over percentiles, and saturation curves."""

from math import log10

import plotly.graph_objects as go

from core import repeats
from core.schemas.loads import Load, Saturation
from core.schemas.summary import Row, Summary
from evaluator import naming, text
from evaluator.report.charts import SYMBOLS, Figure, as_json, color, safe, table_heads

TICKS = (50, 90, 99, 99.9, 99.99)
LINES = {"ONNX": "solid", "SavedModel": "dash", "ONNX int8": "dashdot", "ONNX on OpenVINO": "longdash"}
LINES |= {"ONNX on OpenVINO bf16": "longdashdot"}
"""By how an artefact is served; the native formats are dotted. Colour and symbol are the framework's."""


def figures(summary: Summary) -> dict[str, Figure]:
    """Charts by element id; only those that have something to show."""
    found: dict[str, Figure] = {}
    if any(row.load and row.load.curve for row in summary.rows):
        found["percentiles"] = percentiles(summary)
    if summary.saturation:
        found["saturation"] = saturation(summary)
    return found


def percentiles(summary: Summary) -> Figure:
    """Latency at each percentile up to the last that the queries of all repeats together reach; the axis gives every
    nine the same room."""
    chart = go.Figure()
    for row in summary.rows:
        if row.load is None or not row.load.curve:
            continue
        points = [(nines(q), ms, f"{q:g}") for q, ms in row.load.curve]
        chart.add_scatter(
            x=[x for x, _, _ in points],
            y=[ms for _, ms, _ in points],
            customdata=[label for _, _, label in points],
            meta={"x": [float(label) for _, _, label in points]},
            name=safe(_name(row, summary)),
            mode="lines+markers",
            line={"color": color(row.framework), "width": 2, "dash": _dash(row)},
            marker={"symbol": SYMBOLS[row.framework], "size": 6, "color": color(row.framework)},
            hovertemplate=f"{safe(_name(row, summary))} p%{{customdata}}: %{{y:.3g}} ms<extra></extra>",
        )
    pooled = any(row.load and len(row.load.runs) > 1 for row in summary.rows)
    chart.update_layout(
        xaxis={
            "title": {"text": "Percentile"},
            "tickvals": [nines(q) for q in TICKS],
            "ticktext": [f"{q:g}" for q in TICKS],
        },
        yaxis={"title": {"text": "Latency, ms" + ", repeats pooled" * pooled}, "type": "log"},
        meta=table_heads(series="Artefact"),
        hovermode="closest",
    )
    return as_json(chart)


def saturation(summary: Summary) -> Figure:
    """p99 over the rate of queries with the bound drawn in; hollow points do not count."""
    chart = go.Figure()
    rows = {(row.model, row.version, row.runtime): row for row in summary.rows}
    for curve in summary.saturation:
        row = rows.get((curve.model, curve.version, curve.runtime))
        shade = color(row.framework) if row else color("muted")
        name = safe(_name(row, summary) if row else curve.model)
        own = SYMBOLS[row.framework] if row else "circle"
        chart.add_scatter(
            x=[load.rate for load in curve.points],
            y=[repeats.typical(load, repeats.p99) for load in curve.points],
            customdata=[
                [text.significant(repeats.typical(load, repeats.throughput)), _judgement(load)] for load in curve.points
            ],
            name=name,
            mode="lines+markers",
            line={"color": shade, "width": 2, "dash": _dash(row) if row else "solid"},
            marker={
                "symbol": [own + "-open" * (not load.counts) for load in curve.points],
                "size": 9,
                "color": shade,
                "line": {"width": 2, "color": shade},
            },
            hovertemplate=(
                f"{name} at %{{x:,.4~g}}/s: p99 %{{y:.3g}} ms<br>%{{customdata[0]}} images/s answered, "
                "%{customdata[1]}<extra></extra>"
            ),
        )
    for bound in sorted({curve.bound_ms for curve in summary.saturation if curve.bound_ms}):
        _draw_bound(chart, bound, summary.saturation)
    chart.update_layout(
        xaxis={"title": {"text": "Queries sent per second"}, "rangemode": "tozero"},
        yaxis={"title": {"text": "p99 latency, ms"}, "type": "log"},
        meta=table_heads(series="Artefact"),
        hovermode="closest",
    )
    return as_json(chart)


def nines(percentile: float) -> float:
    """0 → 0, 90 → 1, 99 → 2, 99.9 → 3."""
    return -log10(1 - percentile / 100) if percentile < 100 else float("inf")


def _draw_bound(chart: go.Figure, bound: float, curves: tuple[Saturation, ...]) -> None:
    highest = max((load.rate or 0.0 for curve in curves for load in curve.points), default=1.0)
    chart.add_scatter(
        x=[0, highest],
        y=[bound, bound],
        name=f"Bound {text.milliseconds(bound)}",
        mode="lines",
        showlegend=False,
        line={"color": color("muted"), "width": 1.5, "dash": "dash"},
        hovertemplate=f"bound {text.milliseconds(bound)}<extra></extra>",
    )
    # A figure of its own beside the line: an annotation on a logarithmic axis takes the exponent.
    chart.add_annotation(
        x=0, y=log10(bound), xanchor="left", yanchor="bottom", text=f"bound {text.milliseconds(bound)}",
        showarrow=False, font={"color": color("muted")},
    )  # fmt: skip


def _judgement(load: Load) -> str:
    if load.generator_bound:
        return "does not count: the generator was the bottleneck"
    if load.problems:
        return "does not count: the generator was late" if load.late_share else "does not count"
    if load.contended:
        return "does not count: it overlapped with other work"
    if load.within_bound is None:
        return "no bound"
    return "within the bound" if load.within_bound else "not within the bound"


def _dash(row: Row) -> str:
    return LINES.get(naming.served(row), "dot")


def _name(row: Row, summary: Summary) -> str:
    """Framework and format, with arm and seed where load-tested rows differ in them."""
    loaded = [other for other in summary.rows if other.load]
    parts = [text.framework(row.framework), naming.served(row)]
    parts += [row.arm] if len({other.arm for other in loaded}) > 1 else []
    parts += [f"s{row.seed}"] if len({other.seed for other in loaded}) > 1 else []
    return " ".join(parts)
