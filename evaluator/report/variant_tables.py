"""What every variant gains in speed and size, and what that costs in accuracy: one definition for HTML and Markdown."""

from collections.abc import Callable

from core import repeats
from core.schemas.loads import Load
from core.schemas.summary import Row, Summary
from evaluator import naming, text
from evaluator.report.columns import differences, disagreements
from evaluator.report.tables import Table
from evaluator.variants import references
from evaluator.verdict import comparable

HEADERS = (
    *("Framework", "Arm", "Variant", "Accuracy", "Change", "Right alone", "p, corrected", "Parity"),
    *("Answers", "Throughput", "p99", "Size"),
)


def costs(summary: Summary) -> Table:
    """Each variant against the fp32 ONNX of the same training on ONNX Runtime."""
    found = references(summary.rows)
    rows = tuple(_cells(summary.rows[index], summary.rows[other]) for index, other in found.items())
    caption = (
        "Variants against the fp32 ONNX on ONNX Runtime; right alone: images only fp32, only the variant has right"
    )
    return Table(caption, HEADERS, rows, names=3)


def _cells(row: Row, plain: Row) -> tuple[str, ...]:
    test = row.against_fp32
    return (
        text.framework(row.framework),
        row.arm,
        naming.served(row),
        text.percent(row.accuracy) if row.accuracy is not None else text.MISSING,
        text.signed_points(row.accuracy_change) if row.accuracy_change is not None else text.MISSING,
        f"{test.only_first:,} : {test.only_second:,}" if test else text.MISSING,
        text.p_value(test.p_adjusted).removeprefix("p ").removeprefix("= ") if test else text.MISSING,
        differences(row.parity),
        disagreements(row.parity) or text.MISSING,
        _times(row, plain, lambda load: repeats.typical(load, repeats.throughput)),
        _times(row, plain, lambda load: repeats.typical(load, repeats.p99)),
        f"× {text.significant(row.size_bytes / plain.size_bytes)}" if plain.size_bytes else text.MISSING,
    )


def _times(row: Row, plain: Row, figure: Callable[[Load], float]) -> str:
    """The variant's median over that of fp32: `× 1.62`; a dash where one of them does not count."""
    if not (row.load and plain.load and comparable(row.load) and comparable(plain.load)):
        return text.MISSING
    divisor = figure(plain.load)
    return f"× {text.significant(figure(row.load) / divisor)}" if divisor else text.MISSING
