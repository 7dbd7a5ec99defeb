"""Compares two summaries row by row, and says for each difference what is known about its noise.

Pure functions over two documents, in core and not behind a service: reports from other machines are compared where
nothing runs. A summary holds no predictions, so accuracies are compared by their intervals even where both reports
scored the same images; within one report the paired test is sharper.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import sqrt
from typing import Literal

from core.measures import MEASURES
from core.schemas.summary import Row, Summary

Finding = Literal["exceeds noise", "within noise", "noise not known", "exact", "equal"]
COMPARED = (
    *("accuracy", "macro_f1", "log_loss", "calibration_error", "size_bytes", "training_s"),
    *("throughput", "p99_ms", "cpu_ms", "best_rate"),
)
Interval = tuple[float, float]


@dataclass(frozen=True)
class Difference:
    """One figure of one artefact in two reports."""

    artefact: str
    metric: str
    first: float
    second: float
    finding: Finding
    interval: Interval | None = None
    """95 % interval of second − first, where one is known."""

    @property
    def change(self) -> float:
        """Second − first."""
        return self.second - self.first


@dataclass(frozen=True)
class Comparison:
    """Two reports side by side."""

    differences: tuple[Difference, ...]
    only_first: tuple[str, ...]
    """Labels of rows that only the first report has."""
    only_second: tuple[str, ...]
    notes: tuple[str, ...]
    """How the figures are to be read, and what keeps them from being compared."""


def compare(first: Summary, second: Summary) -> Comparison:
    """Matches rows by arm, framework, format, runtime and seed; experiments of different names may be compared."""
    before = {row.label: row for row in first.rows}
    after = {row.label: row for row in second.rows}
    return Comparison(
        differences=tuple(d for label, row in before.items() if label in after for d in _rows(row, after[label])),
        only_first=tuple(label for label in before if label not in after),
        only_second=tuple(label for label in after if label not in before),
        notes=tuple(_notes(first, second)),
    )


def newcombe(first: float, first_interval: Interval, second: float, second_interval: Interval) -> Interval:
    """Interval of second − first from the Wilson intervals of two shares (Newcombe 1998, method 10).

    For independent samples. On the same images it is wider than need be: cautious.
    """
    change = second - first
    below = sqrt((second - second_interval[0]) ** 2 + (first_interval[1] - first) ** 2)
    above = sqrt((second_interval[1] - second) ** 2 + (first - first_interval[0]) ** 2)
    return change - below, change + above


def _rows(first: Row, second: Row) -> Iterator[Difference]:
    for metric in COMPARED:
        before, after = MEASURES[metric].get(first), MEASURES[metric].get(second)
        if before is None or after is None:
            continue
        interval = _interval(first, second) if metric == "accuracy" else None
        yield Difference(first.label, metric, before, after, _finding(metric, before == after, interval), interval)


def _interval(first: Row, second: Row) -> Interval | None:
    if first.accuracy_interval is None or second.accuracy_interval is None:
        return None
    return newcombe(first.accuracy or 0.0, first.accuracy_interval, second.accuracy or 0.0, second.accuracy_interval)


def _finding(metric: str, equal: bool, interval: Interval | None) -> Finding:
    if equal:
        return "equal"
    if metric == "size_bytes":
        return "exact"
    if interval is None:
        return "noise not known"
    return "within noise" if interval[0] <= 0 <= interval[1] else "exceeds noise"


def _notes(first: Summary, second: Summary) -> Iterator[str]:
    yield (
        "Accuracy: Newcombe's 95% interval of the difference, from both Wilson intervals; it exceeds noise where zero "
        "lies outside. Times and other scores come from one run each: their noise is not known."
    )
    prints = [summary.data.fingerprint if summary.data else "" for summary in (first, second)]
    if prints[0] != prints[1]:
        yield "The reports rest on different prepared data: their accuracies are about different images."
    machines = [
        {(p.environment.cpu_model, p.environment.cpu_quota) for p in summary.places} for summary in (first, second)
    ]
    if machines[0] != machines[1]:
        yield "The reports were measured on different machines or quotas: their times do not compare."
    for name, summary in (("first", first), ("second", second)):
        if not summary.complete:
            yield f"The {name} report is incomplete: {len(summary.missing)} parts are missing."
