"""The verdict table as CSV: raw figures, units in the header."""

import csv
import io
from collections.abc import Callable
from typing import Any, get_args

from core import repeats
from core.schemas.loads import Load
from core.schemas.scores import Operating, Scores
from core.schemas.specs import Corruption
from core.schemas.summary import Row, Summary
from evaluator.scores import TOP_K

Getter = Callable[[Row], Any]


def to_csv(summary: Summary) -> str:
    """One line for each row of the verdict table; an empty cell means: not measured."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(FIELDS)
    writer.writerows([get(row) for get in FIELDS.values()] for row in summary.rows)
    return buffer.getvalue()


def _load(get: Callable[[Load], Any]) -> Getter:
    return lambda row: get(row.load) if row.load else None


def _scores(get: Callable[[Scores], Any]) -> Getter:
    return lambda row: get(row.scores) if row.scores else None


def _operating(get: Callable[[Operating], Any]) -> Getter:
    return lambda row: get(row.operating) if row.operating else None


def _top(k: int) -> Getter:
    return _scores(lambda scores: scores.top_k.get(k))


def _phase(name: str) -> Getter:
    return _load(lambda load: load.server_ms.get(name))


def _corrupted(kind: str, severity: int) -> Getter:
    def accuracy(row: Row) -> float | None:
        found = (one.accuracy for one in row.robustness if (one.corruption, one.severity) == (kind, severity))
        return next(found, None)

    return accuracy


PHASES = ("queue", "preprocess", "infer", "postprocess")
"""What servers report of a request."""
FIELDS: dict[str, Getter] = {
    "arm": lambda row: row.arm,
    "mode": lambda row: row.mode,
    "framework": lambda row: row.framework,
    "format": lambda row: row.format,
    "runtime": lambda row: row.runtime,
    "precision": lambda row: row.precision,
    "seed": lambda row: row.seed,
    "model": lambda row: row.model,
    "version": lambda row: row.version,
    "sha256": lambda row: row.artifact,
    "images": lambda row: row.images,
    "accuracy": lambda row: row.accuracy,
    "accuracy_low": lambda row: row.accuracy_interval and row.accuracy_interval[0],
    "accuracy_high": lambda row: row.accuracy_interval and row.accuracy_interval[1],
    "macro_f1": lambda row: row.macro_f1,
    "log_loss_nats": lambda row: row.log_loss,
    "brier": _scores(lambda scores: scores.brier),
    "calibration_error": _scores(lambda scores: scores.calibration.error),
    "roc_auc": _scores(lambda scores: scores.roc_auc),
    "average_precision": _scores(lambda scores: scores.average_precision),
    "temperature": _operating(lambda point: point.temperature.value),
    "calibration_error_after": _operating(lambda point: point.temperature.calibration.error),
    "log_loss_after_nats": _operating(lambda point: point.temperature.log_loss),
    "threshold": _operating(lambda point: point.threshold and point.threshold.value),
    "sensitivity": _operating(lambda point: point.threshold and point.threshold.test.sensitivity),
    "specificity": _operating(lambda point: point.threshold and point.threshold.test.specificity),
    **{
        f"accuracy_{kind}_{severity}": _corrupted(kind, severity)
        for kind in get_args(Corruption)
        for severity in range(1, 6)
    },
    "only_best_right": lambda row: row.against_best and row.against_best.only_first,
    "only_this_right": lambda row: row.against_best and row.against_best.only_second,
    "mcnemar_p_holm": lambda row: row.against_best and row.against_best.p_adjusted,
    "export_parity_largest": lambda row: row.export_parity.largest_difference,
    "export_parity_disagreements": lambda row: row.export_parity.disagreements,
    "native_parity_largest": lambda row: None if row.variant else row.parity and row.parity.largest_difference,
    "native_parity_mean": lambda row: None if row.variant else row.parity and row.parity.mean_difference,
    "native_parity_disagreements": lambda row: None if row.variant else row.parity and row.parity.disagreements,
    "fp32_parity_largest": lambda row: row.parity.largest_difference if row.variant and row.parity else None,
    "fp32_parity_mean": lambda row: row.parity.mean_difference if row.variant and row.parity else None,
    "fp32_parity_disagreements": lambda row: row.parity.disagreements if row.variant and row.parity else None,
    "fp32_only_right": lambda row: row.against_fp32 and row.against_fp32.only_first,
    "variant_only_right": lambda row: row.against_fp32 and row.against_fp32.only_second,
    "variant_p_holm": lambda row: row.against_fp32 and row.against_fp32.p_adjusted,
    "accuracy_change": lambda row: row.accuracy_change,
    "size_bytes": lambda row: row.size_bytes,
    "training_s": lambda row: row.training_seconds,
    "training_images_per_s": lambda row: row.images_per_second,
    "training_contended": lambda row: row.training_contended,
    "load_users": _load(lambda load: load.users),
    "load_batch_size": _load(lambda load: load.batch_size),
    "throughput_images_per_s": _load(lambda load: repeats.typical(load, repeats.throughput)),
    "p50_ms": _load(lambda load: repeats.typical(load, repeats.p50)),
    "p90_ms": _load(lambda load: repeats.typical(load, repeats.p90)),
    "p95_ms": _load(lambda load: repeats.typical(load, repeats.p95)),
    "p99_ms": _load(lambda load: repeats.typical(load, repeats.p99)),
    "p999_ms": _load(lambda load: repeats.typical(load, repeats.p999)),
    "max_ms": _load(lambda load: load.latency_ms.max),
    "cpu_ms_per_image": _load(repeats.typical_cpu),
    "best_rate_queries_per_s": lambda row: row.best_rate,
    "failed_requests": _load(lambda load: load.failed),
    "generator_cpu": _load(lambda load: load.generator_cpu),
    "load_contended": _load(lambda load: load.contended),
    **{f"top_{k}": _top(k) for k in TOP_K},
    "load_counts": _load(lambda load: load.counts),
    "load_repeats": _load(lambda load: len(load.runs) or 1),
    "load_queries": _load(lambda load: load.queries),
    "load_least_queries": _load(lambda load: load.least_queries),
    "late_share": _load(lambda load: load.late_share),
    "p99_at_most_ms": _load(lambda load: load.upper_ms.get("p99")),
    "mean_batch_images": _load(lambda load: load.mean_batch or None),
    **{f"server_{phase}_ms": _phase(phase) for phase in PHASES},
}
"""Column to how a row fills it."""
