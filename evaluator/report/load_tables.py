"""Tables of load tests: every test with what its data support, and the highest rate within the bound."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from core import percentiles
from core.schemas.loads import Load, Saturation
from core.schemas.summary import Summary
from evaluator import text
from evaluator.report.tables import UNSUPPORTED, Table

FROM = {"server": "the time a query was due", "offline": "the start of the test"}
"""What latency counts from, by scenario; in the others from the client's send."""
CURVE_RATES = 6
"""Fewer rates are points and no saturation curve."""


@dataclass(frozen=True)
class _Column:
    title: str
    show: Callable[[Load], str]
    wanted: Callable[[Load], bool] = lambda load: True
    """The column is left out where no load test has something for it."""


def _optional(value: float | None, show: Callable[[float], str] = text.significant) -> str:
    return text.MISSING if value is None else show(value)


def _range(load: Load) -> str:
    values = load.p99_runs
    return f"{text.significant(min(values))}–{text.significant(max(values))}" if len(values) > 1 else text.MISSING


def _share(value: float) -> str:
    return text.percent(value, 1)


def _percentile(percentile: float, value: Callable[[Load], float]) -> _Column:
    """A percentile, marked where the queries do not support it."""

    def show(load: Load) -> str:
        return text.significant(value(load)) + ("" if _pool_supports(load, percentile) else UNSUPPORTED)

    return _Column(percentiles.label(percentile), show)


def _pool_supports(load: Load, percentile: float) -> bool:
    """Of all repeats together, as the percentiles of this table are."""
    return percentiles.allowed_over(load.queries, percentile) >= 0


def _supports(load: Load) -> str:
    highest = percentiles.supported(load.queries)
    return text.MISSING if highest is None else percentiles.label(highest)


COLUMNS = (
    _Column("Queries", lambda load: f"{load.queries:,}"),
    _Column("Answered", lambda load: f"{load.requests:,}", lambda load: load.failed > 0),
    _Column("Supports", _supports),
    _Column("img/s", lambda load: text.significant(load.throughput)),
    _percentile(50.0, lambda load: load.latency_ms.p50),
    _percentile(90.0, lambda load: load.latency_ms.p90),
    _percentile(95.0, lambda load: load.latency_ms.p95),
    _percentile(99.0, lambda load: load.latency_ms.p99),
    _Column("p99 of repeats", _range, lambda load: len(load.runs) > 1),
    _Column("p99 at most", lambda load: _optional(load.upper_ms.get("p99")), lambda load: bool(load.runs)),
    _percentile(99.9, lambda load: load.latency_ms.p999),
    _Column("Max", lambda load: text.significant(load.latency_ms.max)),
)
SERVER = (
    _Column("Mean batch", lambda load: text.significant(load.mean_batch) if load.mean_batch else text.MISSING),
    _Column("CPU per image", lambda load: _optional(load.cpu_ms), lambda load: load.cpu_ms is not None),
    _Column(
        "Generator CPU",
        lambda load: _optional(load.generator_cpu, lambda v: text.percent(v, 0)),
        lambda load: load.generator_cpu is not None,
    ),
    _Column("Sent late", lambda load: _optional(load.late_share, _share), lambda load: load.late_share is not None),
    _Column("Errors", lambda load: ", ".join(f"{code} {n:,}" for code, n in load.errors.items()) or "0"),
)


def loads(summary: Summary) -> Table:
    """Every load test with the server's own account; its settings where they vary."""
    phases = list(dict.fromkeys(phase for load in summary.loads for phase in load.server_ms))
    settings = len({(load.label, load.batch_size) for load in summary.loads}) > 1
    columns = [column for column in (*COLUMNS, *SERVER) if any(map(column.wanted, summary.loads))]
    first = [column for column in columns if column in COLUMNS]
    last = [column for column in columns if column in SERVER]
    headers = (
        *("Model", "Runtime", *(("Test", "Images each") if settings else ())),
        *(column.title for column in first),
        *(phase.capitalize() for phase in phases),
        *(column.title for column in last),
    )
    rows = tuple(
        (
            load.model + _flag(load),
            text.runtime(load.runtime),
            *((load.label, str(load.batch_size)) if settings else ()),
            *(column.show(load) for column in first),
            *(text.significant(load.server_ms[p]) if p in load.server_ms else text.MISSING for p in phases),
            *(column.show(load) for column in last),
        )
        for load in _by_subject(summary.loads)
    )
    marked = any(cell.endswith(UNSUPPORTED) for row in rows for cell in row)
    pooled = any(len(load.runs) > 1 for load in summary.loads)
    return Table(_caption(phases, columns, marked, pooled), headers, rows, names=3 if settings else 2)


def _by_subject(loads: Sequence[Load]) -> list[Load]:
    """The tests of an artefact together, its rates ascending; they were measured in turns with the others."""
    places: dict[tuple[str, int, str], int] = {}
    for load in loads:
        places.setdefault((load.model, load.version, load.runtime), len(places))
    return sorted(loads, key=lambda load: (places[load.model, load.version, load.runtime], load.rate or 0.0))


def _flag(load: Load) -> str:
    if load.problems or load.generator_bound:
        return " (does not count)"
    return " (contended)" if load.contended else ""


def _caption(phases: list[str], columns: list[_Column], marked: bool, pooled: bool) -> str:
    shown = {column.title for column in columns}
    caption = "Load tests, times in milliseconds"
    caption += "; the queries of all repeats pooled (elsewhere: the median of the repeats)" * pooled
    caption += "; img/s and percentiles are of the answered" * ("Answered" in shown)
    caption += f"; {text.names([p.capitalize() for p in phases])}: means the server reported" if phases else ""
    caption += "; Supports: the highest percentile the queries support at 99% confidence"
    caption += f", those marked{UNSUPPORTED} are beyond it" * marked
    caption += "; p99 at most: with 99% confidence, a dash where the queries are too few" * ("p99 at most" in shown)
    caption += "; CPU per image: time of the server process, warm-up included" * ("CPU per image" in shown)
    return caption + "; Generator CPU: the load generator’s share of one core" * ("Generator CPU" in shown)


def saturation(summary: Summary) -> Table:
    """The highest rate within the bound, one row for each curve."""
    headers = ("Model", "Runtime", "Bound", "Highest rate within", "Lowest rate that failed", "Failed for", "Rates")
    rows = tuple(_saturation_cells(curve) for curve in summary.saturation)
    return Table("Highest rate whose p99 is shown, at 99% confidence, to stay within the bound", headers, rows, names=2)


def _saturation_cells(curve: Saturation) -> tuple[str, ...]:
    return (
        curve.model,
        text.runtime(curve.runtime),
        _optional(curve.bound_ms, text.milliseconds),
        _optional(curve.best_rate, _per_second),
        _optional(curve.failed_rate, _per_second),
        curve.limit or text.MISSING,
        f"{len(curve.points)}" + f", too few for a curve (at least {CURVE_RATES})" * (len(curve.points) < CURVE_RATES),
    )


def _per_second(rate: float) -> str:
    return f"{rate:,g}/s"
