"""Tables of probabilities, agreement, trade-offs and single images: one definition for HTML and Markdown."""

from collections.abc import Sequence

from core import repeats
from core.schemas.summary import Row, Summary
from evaluator import naming, pareto, text
from evaluator.paired import ALPHA
from evaluator.report.quality_charts import artefact
from evaluator.report.tables import Table

CLEAREST = 8
"""Pairs listed beside an agreement matrix."""


def probabilities(summary: Summary) -> Table:
    """Scores of the artefact chosen for each arm and framework."""
    chosen = [summary.rows[c.row] for c in summary.representatives if c.row is not None]
    scored = [(row, row.scores) for row in chosen if row.scores]
    ks = sorted({k for _, scores in scored for k in scores.top_k})
    headers = ("Framework", "Format", "Arm", "Accuracy", *(f"Top {k}" for k in ks), "Log loss", "Brier", "ECE")
    rows = tuple(
        (
            text.framework(row.framework),
            naming.served(row),
            row.arm,
            text.percent(row.accuracy or 0.0),
            *(text.percent(scores.top_k[k]) if k in scores.top_k else text.MISSING for k in ks),
            f"{row.log_loss:.4f}" if row.log_loss is not None else text.MISSING,
            f"{scores.brier:.4f}",
            text.percent(scores.calibration.error),
            _area(scores.roc_auc),
            _area(scores.average_precision),
        )
        for row, scores in scored
    )
    return Table("Scores of the probabilities", (*headers, "ROC AUC", "Average precision"), rows, names=3)


def clearest(summary: Summary) -> Table:
    """The pairs of artefacts whose accuracies differ most clearly."""
    every = agreement(summary)
    rows = tuple((first, second, f"{one} : {other}", p) for first, second, _, _, one, other, p in every.rows[:CLEAREST])
    return Table("Clearest differences", ("First", "Second", "Right alone", "p, corrected"), rows, names=2)


def agreement(summary: Summary) -> Table:
    """Every pair of artefacts of the agreement matrix, the clearest difference first."""
    found = summary.agreement
    pairs = sorted(found.pairs, key=lambda pair: pair.test.p_value) if found else []
    shown = [summary.rows[index] for index in found.rows] if found else []
    rows = tuple(
        (
            artefact(summary.rows[pair.first], shown),
            artefact(summary.rows[pair.second], shown),
            "differ" if pair.test.p_adjusted < ALPHA else "no difference shown",
            text.percent(pair.agreement),
            f"{pair.test.only_first:,}",
            f"{pair.test.only_second:,}",
            text.p_value(pair.test.p_adjusted).removeprefix("p ").removeprefix("= "),
        )
        for pair in pairs
    )
    headers = ("First", "Second", "Accuracies", "Same answer", "Only first right", "Only second right", "p, corrected")
    return Table("Pairs of artefacts on the same images", headers, rows, names=3)


def trade_offs(summary: Summary) -> Table:
    """Accuracy, p99 and size of every artefact that has all three, those on the Pareto front first."""
    shown = pareto.candidates(summary.rows)
    beaten = {index: pareto.dominator(summary.rows, index, shown) for index in shown}
    rows = tuple(
        _trade_off(summary.rows[index], beaten[index], [summary.rows[i] for i in shown], summary)
        for index in sorted(shown, key=lambda i: (beaten[i] is not None, -(summary.rows[i].accuracy or 0)))
    )
    headers = ("Framework", "Format", "Arm", "Beaten by", "Accuracy", "p99", "Size")
    return Table("Accuracy, p99 latency (median over repeats) and size", headers, rows, names=4)


def _trade_off(row: Row, beaten_by: int | None, shown: Sequence[Row], summary: Summary) -> tuple[str, ...]:
    assert row.load is not None, "candidates have load tests"
    return (
        text.framework(row.framework),
        naming.served(row),
        row.arm,
        "nobody" if beaten_by is None else artefact(summary.rows[beaten_by], shown),
        text.percent(row.accuracy or 0.0),
        text.milliseconds(repeats.typical(row.load, repeats.p99)),
        text.size(row.size_bytes),
    )


def _area(value: float | None) -> str:
    return text.MISSING if value is None else f"{value:.4f}"
