"""The verdict table's columns: one definition for HTML and Markdown."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from core import percentiles, repeats
from core.schemas.metrics import Parity
from core.schemas.summary import Row
from evaluator import text
from evaluator.verdict import comparable

Value = float | str | None


@dataclass(frozen=True)
class Column:
    """One column: the value sorts, `show` is read, `note` stands small beside it."""

    title: str
    value: Callable[[Row], Value]
    show: Callable[[Row], str]
    note: Callable[[Row], str] = lambda row: ""
    better: Literal["high", "low"] | None = None
    """Which end is the good one; None where there is none."""
    counts: Callable[[Row], bool] = lambda row: True
    """False for a row whose value must not win, for example because its run was contended."""
    hint: str = ""
    """What the figure is, shown on the header."""

    @property
    def numeric(self) -> bool:
        return bool(self.better) or self.title in ("Seed", "Change")

    def best(self, rows: Sequence[Row]) -> str | None:
        """How the best figure of the column reads; None where the figures all read the same."""
        candidates = [row for row in rows if self.counts(row) and self.value(row) is not None]
        if not self.better or len({self.show(row) for row in candidates}) < 2:
            return None
        return self.show((max if self.better == "high" else min)(candidates, key=self._figure))

    def wins(self, row: Row, best: str | None) -> bool:
        """True for the best figure of the column and for every figure that reads the same."""
        return best is not None and self.counts(row) and self.show(row) == best

    def _figure(self, row: Row) -> float:
        value = self.value(row)
        assert isinstance(value, int | float), f"{self.title} of {row.label} is no figure"
        return value


def columns(rows: Sequence[Row]) -> tuple[Column, ...]:
    """The columns worth showing: those in which at least one row has something, arm and seed only where they vary."""
    return tuple(column for column in COLUMNS if _worth_showing(column, {column.value(row) for row in rows}))


def _worth_showing(column: Column, values: set[Value]) -> bool:
    if column.title in VARYING:
        return len(values) > 1
    return column.title in ALWAYS or values - {None} != set()


def parity_text(parity: Parity | None) -> str:
    """Largest difference, or a dash."""
    return text.scientific(parity.largest_difference) if parity else text.MISSING


def differences(parity: Parity | None) -> str:
    """Largest and mean difference, or a dash: `1.2e-07 / 3.4e-09`."""
    return f"{parity_text(parity)} / {text.scientific(parity.mean_difference)}" if parity else text.MISSING


def disagreements(parity: Parity | None) -> str:
    """How many predictions differ, in words; empty where nothing was compared."""
    return f"{parity.disagreements:,} differ" if parity else ""


def load_note(row: Row) -> str:
    """Why a load test's figures are to be read with care."""
    if row.load is None:
        return ""
    flags = ["contended"] if row.load.contended else []
    flags += [f"{text.percent(row.load.error_share, 1)} failed"] if row.load.failed else []
    flags += ["generator-bound"] if row.load.generator_bound else []
    return ", ".join(flags)


def percentile_note(percentile: float) -> Callable[[Row], str]:
    """`load_note`, and how far the queries reach where they do not support the percentile."""

    def note(row: Row) -> str:
        if row.load is None or row.load.supports(percentile):
            return load_note(row)
        best = row.load.supported
        reach = f"{percentiles.label(best)} at most" if best is not None else "no percentile"
        return ", ".join(filter(None, (load_note(row), f"{row.load.least_queries:,} queries support {reach}")))

    return note


def _of_load(figures: repeats.Figures) -> Callable[[Row], Value]:
    return lambda row: repeats.typical(row.load, figures) if row.load else None


def _shown(value: Callable[[Row], Value], show: Callable[[float], str]) -> Callable[[Row], str]:
    def text_of(row: Row) -> str:
        found = value(row)
        return show(found) if isinstance(found, int | float) else text.MISSING

    return text_of


def _figure(
    title: str,
    value: Callable[[Row], Value],
    show: Callable[[float], str],
    better: Literal["high", "low"],
    hint: str,
    note: Callable[[Row], str] = lambda row: "",
    counts: Callable[[Row], bool] = lambda row: True,
) -> Column:
    return Column(title, value, _shown(value, show), note, better, counts, hint)


def _name(title: str, show: Callable[[Row], str]) -> Column:
    return Column(title, show, show)


def _timed(row: Row) -> bool:
    return bool(row.load and comparable(row.load))


def _supported(row: Row, percentile: float) -> bool:
    return _timed(row) and bool(row.load and row.load.supports(percentile))


COLUMNS = (
    _name("Framework", lambda row: text.framework(row.framework)),
    _name("Format", lambda row: text.format_name(row.format)),
    _name("Runtime", lambda row: text.runtime(row.runtime)),
    _name("Precision", lambda row: row.precision),
    _name("Arm", lambda row: row.arm),
    Column("Seed", lambda row: row.seed, lambda row: str(row.seed)),
    _figure(
        "Accuracy",
        lambda row: row.accuracy,
        text.percent,
        "high",
        "Share of test images classified correctly, with the 95% Wilson interval",
        lambda row: text.interval(row.accuracy_interval) if row.accuracy_interval else "",
    ),
    _figure(
        "Macro F1",
        lambda row: row.macro_f1,
        "{:.4f}".format,
        "high",
        "Mean F1 of the classes that have test images",
    ),
    _figure("Log loss", lambda row: row.log_loss, "{:.4f}".format, "low", "Mean of −ln p(true class), in nats"),
    Column(
        "Parity",
        lambda row: row.parity.largest_difference if row.parity else None,
        lambda row: parity_text(row.parity),
        lambda row: disagreements(row.parity),
        hint="Largest difference of served probabilities from the framework's native format; variants: from fp32 ONNX",
    ),
    Column(
        "Change",
        lambda row: row.accuracy_change,
        _shown(lambda row: row.accuracy_change, text.signed_points),
        lambda row: text.p_value(row.against_fp32.p_adjusted) if row.against_fp32 else "",
        hint="Of a variant: its accuracy minus that of the fp32 ONNX; p of McNemar's exact test, corrected by Holm",
    ),
    _figure("Size", lambda row: row.size_bytes, lambda v: text.size(int(v)), "low", "Bytes of the model files"),
    _figure(
        "Training",
        lambda row: row.training_seconds,
        text.seconds,
        "low",
        "Time in training steps, validation and export excluded",
        lambda row: "contended" if row.training_contended else "",
        lambda row: not row.training_contended,
    ),
    _figure(
        "Throughput",
        _of_load(repeats.throughput),
        lambda value: f"{text.significant(value)}/s",
        "high",
        "Images per second under the load test, median over its repeats",
        load_note,
        _timed,
    ),
    _figure(
        "p50",
        _of_load(repeats.p50),
        text.milliseconds,
        "low",
        "Half of the requests were answered within this time, median over the repeats",
        counts=lambda row: _supported(row, 50.0),
    ),
    _figure(
        "p99",
        _of_load(repeats.p99),
        text.milliseconds,
        "low",
        "99% of the requests were answered within this time, median over the repeats",
        percentile_note(99.0),
        lambda row: _supported(row, 99.0),
    ),
    _figure(
        "CPU",
        lambda row: repeats.typical_cpu(row.load) if row.load else None,
        text.milliseconds,
        "low",
        "CPU time of the server process for an image, warm-up included, median over the repeats",
        counts=_timed,
    ),
)
ALWAYS = ("Framework", "Format", "Runtime", "Accuracy")
VARYING = ("Precision", "Arm", "Seed")
"""Columns left out where all rows share the value."""
