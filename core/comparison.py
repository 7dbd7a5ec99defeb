"""Compares two summaries row by row, and says for each difference what is known about its noise.

Pure functions over two documents, in core and not behind a service: reports from other machines are compared where
nothing runs. A summary holds no predictions, so accuracies are compared by their intervals even where both reports
scored the same images; within one report the paired test is sharper.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import sqrt
from typing import Literal

from core import repeats
from core.measures import ERRORS_ALLOWED, MEASURES
from core.memory import ALLOCATING_ANEW, MALLOC
from core.schemas.loads import Load
from core.schemas.summary import LOAD_TEST, TRAINING, Row, Summary

Finding = Literal["exceeds noise", "within noise", "noise not known", "not comparable", "exact", "equal"]
COMPARED = (
    *("accuracy", "macro_f1", "log_loss", "calibration_error", "size_bytes", "training_s"),
    *("throughput", "p99_ms", "cpu_ms", "best_rate"),
)
REPEATED: dict[str, repeats.Figures] = {
    "throughput": repeats.seconds_per_image,
    "p99_ms": repeats.p99,
    "cpu_ms": repeats.cpu_ms,
}
"""Figures of which every repeat of a load test has its own."""
TIMED = (*REPEATED, "best_rate", "training_s")
"""Figures that are about the machine and the settings as much as about the artefact."""
UNKNOWN = {
    "training_s": "one training on either side",
    "best_rate": "one search on either side",
}
"""Why nothing is known about the noise of a figure; of others, that each is one evaluation's."""
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
    reason: str = ""
    """What is known about the noise, or why nothing is."""

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
    """Matches rows by arm, framework, format, precision, runtime and seed; experiments may have different names."""
    before = {row.label: row for row in first.rows}
    after = {row.label: row for row in second.rows}
    return Comparison(
        differences=tuple(
            difference
            for label, row in before.items()
            if label in after
            for difference in _rows((first, row), (second, after[label]))
        ),
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


def _rows(*sides: tuple[Summary, Row]) -> Iterator[Difference]:
    first, second = (row for _, row in sides)
    for metric in COMPARED:
        before, after = MEASURES[metric].get(first), MEASURES[metric].get(second)
        if before is None or after is None:
            continue
        interval = _interval(first, second) if metric == "accuracy" else None
        finding: Finding = "equal"
        reason = ""
        if apart := _settings_apart(metric, *sides):
            finding, reason = "not comparable", apart
        elif before == after:
            pass
        elif metric in REPEATED and first.load and second.load:
            finding, reason = _by_repeats(first.load, second.load, REPEATED[metric])
        else:
            finding, reason = _finding(metric, interval)
        yield Difference(first.label, metric, before, after, finding, interval, reason)


def _settings_apart(metric: str, *sides: tuple[Summary, Row]) -> str:
    """Why two figures are about different things; empty where they are not."""
    if metric == "macro_f1":
        tested = [{one.name for one in row.classes if one.support} for _, row in sides]
        other = all(tested) and tested[0] != tested[1]
        return f"means over other classes: {len(tested[0])} and {len(tested[1])} have test images" if other else ""
    if metric not in TIMED:
        return ""
    training = metric == "training_s"
    machines = [_machines(summary, training) for summary, _ in sides]
    if machines[0] != machines[1]:
        return f"{'trained' if training else 'load-tested'} on different machines or quotas"
    if training and sides[0][1].framework in ALLOCATING_ANEW and _malloc(*sides[0]) != _malloc(*sides[1]):
        return "trained with other settings of malloc"
    if metric == "best_rate":
        bounds = [_bound(*side) for side in sides]
        return "" if bounds[0] == bounds[1] else f"within {bounds[0]:g} ms against within {bounds[1]:g} ms"
    loads = [row.load for _, row in sides if row.load]
    if (
        MEASURES[metric].of_answered
        and (failed := max((load.error_share for load in loads), default=0.0)) > ERRORS_ALLOWED
    ):
        return f"{failed:.1%} of the requests of one side failed: the figures are of those that were answered"
    # Of an earlier version's load tests the generator is not known, the rest is.
    known = 0 if all(load.generator for load in loads) else 1
    if metric in REPEATED and len(loads) == 2 and loads[0].settings[known:] != loads[1].settings[known:]:
        return f"{_setting(loads[0])} against {_setting(loads[1])}"
    return ""


def _malloc(summary: Summary, row: Row) -> set[tuple[str, str]]:
    """How malloc was set up where the row's framework trained."""
    mine = f"{row.framework}{TRAINING}".casefold()
    places = [place for place in summary.places if any(role.casefold() == mine for role in place.roles)]
    return {
        setting for place in places for setting in place.environment.variables.items() if setting[0].startswith(MALLOC)
    }


def _machines(summary: Summary, training: bool) -> set[tuple[str, float]]:
    """Where what was trained, or else load-tested: processor and cores."""
    return {
        (place.environment.cpu_model, place.environment.cpu_quota)
        for place in summary.places
        if any(role.endswith(TRAINING) if training else role == LOAD_TEST for role in place.roles)
    }


def _bound(summary: Summary, row: Row) -> float:
    """Milliseconds that the row's best rate was searched within; 0 where the summary does not tell."""
    served = row.model, row.version, row.runtime
    curves = (curve for curve in summary.saturation if (curve.model, curve.version, curve.runtime) == served)
    return next((curve.bound_ms for curve in curves if curve.bound_ms is not None), 0.0)


def _interval(first: Row, second: Row) -> Interval | None:
    if first.accuracy_interval is None or second.accuracy_interval is None:
        return None
    return newcombe(first.accuracy or 0.0, first.accuracy_interval, second.accuracy or 0.0, second.accuracy_interval)


def _by_repeats(first: Load, second: Load, figures: repeats.Figures) -> tuple[Finding, str]:
    """The rule by which artefacts of one report are separable, on the repeats of both."""
    before, after = figures(first), figures(second)
    apart = repeats.apart(before, after)
    counts = f"{len(before)} and {len(after)} repeats that count"
    if apart is None:
        return "noise not known", f"{counts}; it takes {repeats.REPEATS_NEEDED} on either side"
    return ("exceeds noise", f"ranges of {counts} apart") if apart else ("within noise", f"ranges of {counts} overlap")


def _setting(load: Load) -> str:
    who = "Locust, " if load.generator == "locust" else ""
    return f"{who}{load.label}, batches of {load.batch_size}"


def _finding(metric: str, interval: Interval | None) -> tuple[Finding, str]:
    if metric == "size_bytes":
        return "exact", ""
    if metric == "accuracy" and interval is not None:
        return ("within noise", "zero inside") if interval[0] <= 0 <= interval[1] else ("exceeds noise", "zero outside")
    if metric == "accuracy":
        return "noise not known", "a report has no interval of it"
    return "noise not known", UNKNOWN.get(metric, "one evaluation on either side")


def _notes(first: Summary, second: Summary) -> Iterator[str]:
    yield (
        "Accuracy: Newcombe's 95% interval of the difference, from both Wilson intervals; it exceeds noise where zero "
        f"lies outside. Throughput, p99 and CPU: the ranges of the repeats, of which it takes {repeats.REPEATS_NEEDED} "
        "on either side; the two reports were not measured in turns, so what changed on the machine between them is "
        "part of the difference. Of the other figures each report has one: their noise is not known. Nothing is "
        "corrected for the number of rows: of twenty accuracies that did not change up to one is expected beyond noise."
    )
    prints = [summary.data.fingerprint if summary.data else "" for summary in (first, second)]
    if prints[0] != prints[1]:
        yield "The reports rest on different prepared data: their accuracies are about different images."
    for training, what in ((True, "trainings"), (False, "load tests")):
        if _machines(first, training) != _machines(second, training):
            yield f"The {what} of the reports ran on different machines or quotas: their times do not compare."
    for name, summary in (("first", first), ("second", second)):
        if not summary.complete:
            yield f"The {name} report is incomplete: {len(summary.missing)} parts are missing."
