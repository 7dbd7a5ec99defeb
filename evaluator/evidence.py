"""What the kept predictions add to the rows: scores, paired tests, single images."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from core.schemas.results import EvaluateResult
from core.schemas.scores import Disagreement
from core.schemas.summary import Row
from evaluator import losses, paired, variants
from evaluator.paired import Predictions
from evaluator.rows import NATIVE, Probabilities
from evaluator.scores import compute_scores
from evaluator.verdict import most_accurate


def row_predictions(
    rows: Sequence[Row], evaluations: Sequence[EvaluateResult], probabilities: Probabilities
) -> Predictions:
    """Probabilities by index of the row they belong to."""
    runs = {(e.spec.model, e.spec.version, e.spec.runtime): e.run_id for e in reversed(evaluations)}
    found = {}
    for index, row in enumerate(rows):
        run_id = runs.get((row.model, row.version, row.runtime))
        if run_id is not None and run_id in probabilities:
            found[index] = probabilities[run_id]
    return found


def add_evidence(
    rows: Sequence[Row], predictions: Predictions, labels: NDArray[np.int64], classes: Sequence[str]
) -> tuple[Row, ...]:
    """Rows with a paired test against the most accurate one, variants with what they cost, and with scores where an
    older result has none."""
    scored = [
        row.model_copy(update={"scores": compute_scores(labels, predictions[index], classes)})
        if row.scores is None and index in predictions
        else row
        for index, row in enumerate(rows)
    ]
    tested = paired.with_tests(scored, most_accurate(scored), predictions, labels)
    return variants.with_costs(tested, predictions, labels)


def disagreements(
    rows: Sequence[Row], predictions: Predictions, labels: NDArray[np.int64], classes: Sequence[str]
) -> Iterator[Disagreement]:
    """Images whose class changes between a framework's native format and another artefact of the same training, and
    between the fp32 ONNX and a variant of it."""
    natives = {
        (row.arm, row.framework, row.seed): index
        for index, row in enumerate(rows)
        if row.format == NATIVE[row.framework] and index in predictions
    }
    plain = variants.references(rows)
    for index, row in enumerate(rows):
        other = plain.get(index) if row.variant else natives.get((row.arm, row.framework, row.seed))
        if row.parity and row.parity.disagreements and other is not None and index in predictions:
            yield from losses.disagreements(index, predictions[other], predictions[index], labels, classes)
