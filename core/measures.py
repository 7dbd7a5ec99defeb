"""The figures of a row by name, as comparisons and gates ask for them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from core import repeats
from core.schemas.loads import Load
from core.schemas.scores import Scores
from core.schemas.summary import Row

ERRORS_ALLOWED = 0.001
"""Share of failed requests up to which the latency and throughput of the others tell something."""


@dataclass(frozen=True)
class Measure:
    """One figure of a row; None where it was not measured, or not in a way that counts."""

    get: Callable[[Row], float | None]
    better: Literal["high", "low"]
    unit: str = ""
    percentile: float | None = None
    """Of a load test's latencies, where it is one: it takes enough queries."""
    of_answered: bool = False
    """Of a load test's answered requests: it says little where others failed."""
    zero: str = ""
    """What 0 means, where it is more than a number."""


def _load(get: Callable[[Load], float | None]) -> Callable[[Row], float | None]:
    """A load test that was contended, or whose generator was late or busy, measured something else."""
    return lambda row: get(row.load) if row.load and row.load.counts else None


def _median(figures: repeats.Figures) -> Callable[[Load], float]:
    return lambda load: repeats.typical(load, figures)


def _scores(get: Callable[[Scores], float | None]) -> Callable[[Row], float | None]:
    return lambda row: get(row.scores) if row.scores else None


def _disagreements(row: Row) -> float:
    return float(max(row.export_parity.disagreements, row.parity.disagreements if row.parity else 0))


def _difference(row: Row) -> float:
    return max(row.export_parity.largest_difference, row.parity.largest_difference if row.parity else 0.0)


MEASURES: Mapping[str, Measure] = {
    "accuracy": Measure(lambda row: row.accuracy, "high"),
    "accuracy_low": Measure(lambda row: row.accuracy_interval[0] if row.accuracy_interval else None, "high"),
    "macro_f1": Measure(lambda row: row.macro_f1, "high"),
    "log_loss": Measure(lambda row: row.log_loss, "low", "nats"),
    "brier": Measure(_scores(lambda scores: scores.brier), "low"),
    "calibration_error": Measure(_scores(lambda scores: scores.calibration.error), "low"),
    "roc_auc": Measure(_scores(lambda scores: scores.roc_auc), "high"),
    "average_precision": Measure(_scores(lambda scores: scores.average_precision), "high"),
    "parity_disagreements": Measure(_disagreements, "low", "images"),
    "parity_difference": Measure(_difference, "low"),
    "size_bytes": Measure(lambda row: float(row.size_bytes), "low", "bytes"),
    "training_s": Measure(lambda row: None if row.training_contended else row.training_seconds, "low", "s"),
    "throughput": Measure(_load(_median(repeats.throughput)), "high", "images/s", of_answered=True),
    "best_rate": Measure(lambda row: row.best_rate, "high", "queries/s", zero="no rate measured held the bound"),
    "cpu_ms": Measure(_load(repeats.typical_cpu), "low", "ms", of_answered=True),
    "p50_ms": Measure(_load(_median(repeats.p50)), "low", "ms", 50.0, True),
    "p90_ms": Measure(_load(_median(repeats.p90)), "low", "ms", 90.0, True),
    "p95_ms": Measure(_load(_median(repeats.p95)), "low", "ms", 95.0, True),
    "p99_ms": Measure(_load(_median(repeats.p99)), "low", "ms", 99.0, True),
    "p999_ms": Measure(_load(_median(repeats.p999)), "low", "ms", 99.9, True),
    "failed_share": Measure(_load(lambda load: load.error_share), "low"),
}
"""Name to figure. Parity takes the worse of export (against memory) and serving (against the native format)."""
