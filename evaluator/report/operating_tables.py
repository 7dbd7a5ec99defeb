"""Tables and charts of what was chosen on validation data, and of robustness."""

from collections.abc import Sequence
from math import floor

import plotly.graph_objects as go

from core.schemas.summary import Row, Summary
from evaluator import naming, text
from evaluator.report.charts import SYMBOLS, Figure, as_json, color, safe, table_heads
from evaluator.report.quality_charts import artefact
from evaluator.report.tables import Table

CORRUPTIONS = {"noise": "Noise", "blur": "Blur", "contrast": "Contrast", "jpeg": "JPEG"}
"""Name in results to name for people, in the order they are shown."""
PRECISION_DASHES = {"fp32": "solid", "int8": "dashdot", "bf16": "longdashdot"}


def temperatures(summary: Summary) -> Table:
    """Calibration before and after the temperature, of the artefact chosen for each arm and framework."""
    rows = []
    for row in _chosen(summary):
        if row.operating is None or row.scores is None:
            continue
        warm = row.operating.temperature
        rows.append(
            (
                *_names(row),
                f"{warm.value:.3f}",
                text.percent(row.scores.calibration.error),
                text.percent(warm.calibration.error),
                f"{row.log_loss:.4f}" if row.log_loss is not None else text.MISSING,
                f"{warm.log_loss:.4f}",
                f"{row.operating.images:,}",
            )
        )
    headers = (
        "Framework",
        "Format",
        "Arm",
        "Temperature",
        "ECE",
        "ECE after",
        "Log loss",
        "Log loss after",
        "Fitted on",
    )
    return Table(
        "Temperature, fitted on the validation split, and what it does on the test split", headers, tuple(rows), 3
    )


def thresholds(summary: Summary) -> Table:
    """What the threshold chosen on the validation split gives on the test split, beside one half."""
    rows = []
    for row in _chosen(summary):
        if row.operating is None or (found := row.operating.threshold) is None:
            continue
        for value, rates in ((found.value, found.test), (0.5, found.test_at_half)):
            shares = (rates.sensitivity, rates.specificity, rates.precision, rates.f1, rates.accuracy)
            rows.append((*_names(row), f"{value:.4f}", *map(text.share, shares)))
    headers = ("Framework", "Format", "Arm", "Threshold", "Sensitivity", "Specificity", "Precision", "F1", "Accuracy")
    return Table("Threshold chosen on the validation split, and one half, on the test split", headers, tuple(rows), 3)


def robustness(summary: Summary) -> Table:
    """Accuracy under every corruption, clean first, at severities one to five."""
    rows = []
    for row in corrupted_rows(summary.rows):
        for kind in kinds([row]):
            shares = {one.severity: one.accuracy for one in row.robustness if one.corruption == kind}
            figures = (text.percent(shares[level], 1) if level in shares else text.MISSING for level in range(1, 6))
            rows.append((*_names(row), CORRUPTIONS[kind], text.percent(row.accuracy or 0.0, 1), *figures))
    headers = ("Framework", "Format", "Arm", "Corruption", "Clean", "1", "2", "3", "4", "5")
    return Table("Test accuracy by severity of a corruption", headers, tuple(rows), 4)


def robustness_curves(rows: Sequence[Row], kind: str) -> Figure:
    """Accuracy over severity under one corruption, a line for each framework and precision; 0 is clean."""
    chart, seen = go.Figure(), set()
    for row in rows:
        points = sorted((one.severity, one.accuracy, one.interval) for one in row.robustness if one.corruption == kind)
        clean = [(0, row.accuracy, row.accuracy_interval)] if row.accuracy is not None and row.accuracy_interval else []
        name = f"{text.framework(row.framework)} {row.precision}" if row.variant else text.framework(row.framework)
        every, first = [*clean, *points], name not in seen
        seen.add(name)
        chart.add_scatter(
            x=[severity for severity, _, _ in every],
            y=[accuracy for _, accuracy, _ in every],
            name=name,
            meta={"series": safe(artefact(row, rows))},
            showlegend=first,
            mode="lines+markers",
            line={"color": color(row.framework), "width": 2, "dash": PRECISION_DASHES[row.precision]},
            marker={"symbol": SYMBOLS[row.framework], "size": 7, "color": color(row.framework)},
            customdata=[text.interval(interval) for _, _, interval in every],
            hovertemplate=f"{name}: %{{y:.2%}} (%{{customdata}})<extra></extra>",
        )
    chart.update_layout(
        hovermode="x unified",
        xaxis={"title": {"text": "Severity, 0 is clean"}, "dtick": 1, "range": [-0.2, 5.2]},
        yaxis={"tickformat": ".0%", "range": [_floor(rows), 1.01], "nticks": 6},
        meta=table_heads(series="Artefact", y="Test accuracy"),
    )
    return as_json(chart)


def _floor(rows: Sequence[Row]) -> float:
    """Where the axis of accuracy begins, for all corruptions: at the tenth below the lowest, else the lines are one."""
    lowest = min((one.accuracy for row in rows for one in row.robustness), default=0.0)
    return max(0.0, floor(10 * lowest - 1e-9) / 10)


def corrupted_rows(rows: Sequence[Row]) -> list[Row]:
    """Rows that were scored under corruptions."""
    return [row for row in rows if row.robustness]


def kinds(rows: Sequence[Row]) -> list[str]:
    """The corruptions these rows were scored under."""
    found = {one.corruption for row in rows for one in row.robustness}
    return [kind for kind in CORRUPTIONS if kind in found]


def _chosen(summary: Summary) -> list[Row]:
    return [summary.rows[c.row] for c in summary.representatives if c.row is not None]


def _names(row: Row) -> tuple[str, str, str]:
    return text.framework(row.framework), naming.served(row), row.arm
