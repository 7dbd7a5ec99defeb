"""All artefacts of one training against each other: one definition for HTML and Markdown."""

from collections.abc import Sequence

from core.schemas.metrics import Parity
from core.schemas.summary import Row, Summary
from evaluator import naming, text
from evaluator.report.columns import differences, disagreements
from evaluator.report.tables import Table

CELL = "largest / mean difference of probabilities (images with another class)"


def matrices(summary: Summary) -> tuple[tuple[Row, Table], ...]:
    """A table for each training whose artefacts were compared, with one of its rows; each artefact has a line and a
    column."""
    trainings: dict[tuple[str, str, int], dict[tuple[int, int], Parity]] = {}
    for pair in summary.parities:
        row = summary.rows[pair.first]
        found = trainings.setdefault((row.arm, row.framework, row.seed), {})
        found[pair.first, pair.second] = found[pair.second, pair.first] = pair.parity
    return tuple((summary.rows[min(found)[0]], _matrix(summary.rows, found)) for found in trainings.values())


def label(row: Row) -> str:
    """The training a matrix is about: `Keras matched s0`."""
    return f"{text.framework(row.framework)} {row.arm} s{row.seed}"


def _matrix(rows: Sequence[Row], found: dict[tuple[int, int], Parity]) -> Table:
    shown = sorted({index for pair in found for index in pair})
    names = [naming.served(rows[index]) for index in shown]
    cells = tuple(
        (name, *(_cell(found.get((index, other))) if other != index else "" for other in shown))
        for name, index in zip(names, shown, strict=True)
    )
    images = max(parity.images for parity in found.values())
    caption = f"{label(rows[shown[0]])}, {text.count(images, 'test image')}: {CELL}"
    return Table(caption, ("Artefact", *names), cells)


def _cell(parity: Parity | None) -> str:
    return f"{differences(parity)} ({disagreements(parity)})" if parity else text.MISSING
