"""The report's smaller tables as text: one definition for HTML and Markdown."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from core.schemas.results import ClassMetrics
from core.schemas.summary import Classification, Data, Group, Place, Spread, Summary
from evaluator import text
from evaluator.report.columns import differences, disagreements

NONE = "no test images"
CONFUSED_PAIRS = 8
"""Most frequent mistakes listed beside a confusion matrix."""
UNSUPPORTED = " †"
"""Ends the cell of a figure that the data do not support; the page shows it pale."""


@dataclass(frozen=True)
class Table:
    """A caption, headers and cells; the first `names` columns are words, the rest figures."""

    caption: str
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    names: int = 1


def trainings(summary: Summary) -> Table:
    """The last epoch of every training, and what it cost."""
    headers = ("Framework", "Arm", "Seed", "Epochs", "Train loss", "Val. loss", "Val. accuracy", "Images/s", "Memory")
    rows = []
    for training in summary.trainings:
        last = training.history[-1] if training.history else None
        figures = (
            f"{last.train_loss:.4f}" if last else text.MISSING,
            f"{last.validation_loss:.4f}" if last else text.MISSING,
            text.percent(last.validation_accuracy) if last else text.MISSING,
        )
        speed = text.significant(training.images_per_second) + (" (contended)" if training.contended else "")
        names = (text.framework(training.framework), training.arm, str(training.seed), str(len(training.history)))
        rows.append((*names, *figures, speed, text.size(training.peak_memory_bytes)))
    return Table("Last epoch and cost of every training", headers, tuple(rows), names=2)


def seeds(groups: Sequence[Group]) -> Table:
    """ONNX test accuracy, with Student's interval of its mean, and training time over seeds."""
    headers = (
        *("Framework", "Arm", "Mode", "Seeds", "Mean accuracy", "95% interval", "Std", "Lowest", "Highest"),
        "Mean training time",
    )
    rows = []
    for group in groups:
        spread = group.accuracy
        figures = _spread(spread) if spread else (text.MISSING,) * 5
        time = text.seconds(group.training_seconds.mean) if group.training_seconds else text.MISSING
        names = (text.framework(group.framework), group.arm, group.mode, str(spread.count if spread else 0))
        rows.append((*names, *figures, time))
    return Table("Test accuracy of the ONNX artefacts over seeds", headers, tuple(rows), names=3)


def exports(summary: Summary) -> Table:
    """Every artefact against the model in memory, and as served against the native format."""
    served = {(row.model, row.version): row.parity for row in summary.rows if row.parity and not row.variant}
    headers = (
        *("Framework", "Format", "Arm", "Seed", "From memory", "Predictions", "Served, from native", "Predictions"),
        *("Size", "Export"),
    )
    rows = tuple(
        (
            text.framework(export.framework),
            text.format_name(export.format),
            export.arm,
            str(export.seed),
            differences(export.parity),
            disagreements(export.parity),
            differences(served.get((export.model, export.version))),
            disagreements(served.get((export.model, export.version))) or text.MISSING,
            text.size(export.size_bytes),
            text.seconds(export.export_seconds),
        )
        for export in summary.exports
    )
    return Table("Largest / mean difference of probabilities", headers, rows, names=3)


def counts(data: Data) -> Table:
    """Images by class and split."""
    splits = tuple(data.counts)
    rows = [(name, *(f"{data.counts[split].get(name, 0):,}" for split in splits)) for name in data.classes]
    rows.append(("All", *(f"{data.images(split):,}" for split in splits)))
    return Table("Images by class and split", ("Class", *(split.capitalize() for split in splits)), tuple(rows))


def per_class(result: Classification) -> Table:
    """The classification report with its means."""
    tested, known = sum(one.support > 0 for one in result.classes), len(result.classes)
    name = "macro" if tested == known else f"macro, of {tested} classes"
    return class_report((*result.classes, result.macro.model_copy(update={"name": name}), result.weighted))


def class_report(classes: Sequence[ClassMetrics]) -> Table:
    """Precision, recall and F1 by class, dashes for one without test images."""
    rows = tuple(
        (row.name, *map(text.figure, (row.precision, row.recall, row.f1)), f"{row.support:,}" if row.support else NONE)
        for row in classes
    )
    return Table("Classification report", ("Class", "Precision", "Recall", "F1", "Support"), rows)


def confused(result: Classification) -> Table:
    """The most frequent mistakes."""
    names = [row.name for row in result.classes]
    mistakes = [
        (number, i, j) for i, row in enumerate(result.confusion) for j, number in enumerate(row) if number and i != j
    ]
    top = sorted(mistakes, key=lambda item: (-item[0], item[1], item[2]))[:CONFUSED_PAIRS]
    rows = tuple((names[i], names[j], f"{number:,} of {sum(result.confusion[i]):,}") for number, i, j in top)
    return Table("Most frequent mistakes", ("True class", "Predicted as", "Images"), rows, names=2)


def artefacts(summary: Summary) -> Table:
    """Names and digests of everything published."""
    found = {(export.model, str(export.version), export.artifact): None for export in summary.exports}
    # An int8 model is made of an export and is none.
    found |= {(row.model, str(row.version), row.artifact): None for row in summary.rows}
    rows = tuple(found)
    return Table("Artefacts", ("Model", "Version", "sha256"), rows, names=3)


def versions(places: Iterable[Place]) -> Table:
    """Library versions by environment, and the variables that change how fast it computes."""
    found = list(places)
    libraries = sorted({name for place in found for name in place.environment.versions})
    variables = sorted({name for place in found for name in place.environment.variables})
    rows = tuple(
        (name, *(place.environment.versions.get(name, text.MISSING) for place in found))
        for name in ("python", *libraries)
    )
    pythons = ("python", *(place.environment.python for place in found))
    set_here = tuple(
        (name, *(place.environment.variables.get(name, text.MISSING) for place in found)) for name in variables
    )
    headers = ("Library or variable", *(", ".join(place.roles) for place in found))
    return Table("Library versions and variables", headers, (pythons, *rows[1:], *set_here), names=len(headers))


def _spread(spread: Spread) -> tuple[str, ...]:
    interval = text.interval(spread.interval) if spread.interval else text.MISSING
    std = text.points(spread.std) if spread.std is not None else text.MISSING
    return text.percent(spread.mean), interval, std, text.percent(spread.minimum), text.percent(spread.maximum)
