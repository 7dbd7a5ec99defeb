"""Which artefacts no other beats in accuracy, p99 latency and size at once."""

from collections.abc import Sequence

from core import repeats
from core.schemas.loads import Load
from core.schemas.scenarios import TARGET_PERCENTILE
from core.schemas.summary import Row
from evaluator.verdict import comparable


def candidates(rows: Sequence[Row]) -> list[int]:
    """Indices of the rows with an accuracy and a load test that counts and has enough queries for p99."""
    return [i for i, row in enumerate(rows) if row.accuracy is not None and row.load and _has_p99(row.load)]


def dominator(rows: Sequence[Row], index: int, among: Sequence[int]) -> int | None:
    """The most accurate of the candidates that are as good as row `index` in all three figures and better in one; None
    for a row on the Pareto front. Medians over repeats are taken as they are: noise is the tests' business."""
    better = [other for other in among if _dominates(_costs(rows[other]), _costs(rows[index]))]
    return min(better, key=lambda other: _costs(rows[other]), default=None)


def _has_p99(load: Load) -> bool:
    return comparable(load) and load.supports(TARGET_PERCENTILE)


def _dominates(first: tuple[float, ...], second: tuple[float, ...]) -> bool:
    return all(a <= b for a, b in zip(first, second, strict=True)) and first != second


def _costs(row: Row) -> tuple[float, float, float]:
    assert row.load is not None, f"{row.label} has no load test"
    return -(row.accuracy or 0.0), repeats.typical(row.load, repeats.p99), float(row.size_bytes)
