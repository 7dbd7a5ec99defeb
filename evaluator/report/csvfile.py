"""The verdict table as CSV: raw figures, units in the header."""

import csv
import io
from typing import Any

from core.schemas.summary import Row, Summary


def to_csv(summary: Summary) -> str:
    """One line for each row of the verdict table; an empty cell means: not measured."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(_fields(summary.rows[0])) if summary.rows else HEADERS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(_fields(row) for row in summary.rows)
    return buffer.getvalue()


def _fields(row: Row) -> dict[str, Any]:
    low, high = row.accuracy_interval or (None, None)
    load, times = row.load, row.load.latency_ms if row.load else None
    return {
        "arm": row.arm,
        "mode": row.mode,
        "framework": row.framework,
        "format": row.format,
        "runtime": row.runtime,
        "seed": row.seed,
        "model": row.model,
        "version": row.version,
        "sha256": row.artifact,
        "images": row.images,
        "accuracy": row.accuracy,
        "accuracy_low": low,
        "accuracy_high": high,
        "macro_f1": row.macro_f1,
        "log_loss_nats": row.log_loss,
        "export_parity_largest": row.export_parity.largest_difference,
        "export_parity_disagreements": row.export_parity.disagreements,
        "native_parity_largest": row.parity.largest_difference if row.parity else None,
        "native_parity_disagreements": row.parity.disagreements if row.parity else None,
        "size_bytes": row.size_bytes,
        "training_s": row.training_seconds,
        "training_images_per_s": row.images_per_second,
        "training_contended": row.training_contended,
        "users": load.users if load else None,
        "throughput_images_per_s": load.throughput if load else None,
        "p50_ms": times.p50 if times else None,
        "p90_ms": times.p90 if times else None,
        "p95_ms": times.p95 if times else None,
        "p99_ms": times.p99 if times else None,
        "p999_ms": times.p999 if times else None,
        "max_ms": times.max if times else None,
        "failed_requests": load.failed if load else None,
        "load_contended": load.contended if load else None,
    }
