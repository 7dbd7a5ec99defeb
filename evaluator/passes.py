"""Which sets of images an evaluation scores, and what their predictions add up to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import InvalidInputError
from core.schemas.scores import Corrupted
from core.schemas.specs import Corruption, Scoring
from evaluator import metrics, operating
from evaluator.corruptions import SEVERITIES, corrupt
from evaluator.intervals import wilson


@dataclass(frozen=True)
class Pass:
    """One way through a split."""

    split: str
    corruption: Corruption | None = None
    severity: int = 0

    @property
    def name(self) -> str:
        """`test`, `validation`, `test-noise-3`: names its files."""
        return f"{self.split}-{self.corruption}-{self.severity}" if self.corruption else self.split

    def change(self, images: NDArray[np.uint8], first: int) -> NDArray[np.uint8]:
        """The images of this pass; see `evaluator.scoring.Change`."""
        return corrupt(images, self.corruption, self.severity, first) if self.corruption else images


TEST, VALIDATION = Pass("test"), Pass("validation")


def passes(spec: Scoring, validation_images: int) -> tuple[Pass, ...]:
    """What a spec asks for, the test split first; the validation split only where it has images."""
    calibrating = (VALIDATION,) if spec.calibrate and validation_images else ()
    corrupted = (Pass("test", kind, severity) for kind in spec.corruptions for severity in SEVERITIES)
    return (TEST, *calibrating, *corrupted)


def judge(
    labels: Mapping[str, NDArray[np.int64]], found: Mapping[Pass, NDArray[np.float32]], classes: Sequence[str]
) -> dict[str, Any]:
    """The fields of EvaluateResult that follow from predictions: `EvaluateResult(..., **judge(...))`.

    Args:
        labels: int64 [n] by split.
        found: float32 [n, classes] by pass; `TEST` has to be there.

    Raises:
        InvalidInputError: as `evaluator.metrics.compute`, for any pass; names it.
    """
    truth = labels["test"]
    for one, probabilities in found.items():
        # One row too few and numpy complains in its own words; a single row would be compared with every label.
        try:
            metrics.check(labels[one.split], probabilities, classes)
        except InvalidInputError as error:
            raise InvalidInputError(f"{one.name}: {error}") from error
    corrupted = [
        Corrupted(
            corruption=one.corruption,
            severity=one.severity,
            accuracy=int((probabilities.argmax(axis=1) == truth).sum()) / len(truth),
            interval=wilson(int((probabilities.argmax(axis=1) == truth).sum()), len(truth)),
        )
        for one, probabilities in found.items()
        if one.corruption
    ]
    chosen = None
    values = metrics.compute(truth, found[TEST], classes)
    if VALIDATION in found:
        chosen = operating.choose((labels["validation"], found[VALIDATION]), (truth, found[TEST]), classes)
    return {**values, "operating": chosen, "robustness": tuple(corrupted)}
