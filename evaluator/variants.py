"""What int8, bf16 and other runtimes cost: each against the fp32 ONNX of the same training on ONNX Runtime."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from core.schemas.summary import Row
from evaluator import parity
from evaluator.paired import Predictions, paired_tests


def references(rows: Sequence[Row]) -> dict[int, int]:
    """Index of each variant to that of the fp32 ONNX row it is held against, where there is one."""
    plain = {_key(row): index for index, row in enumerate(rows) if row.format == "onnx" and not row.variant}
    return {index: plain[_key(row)] for index, row in enumerate(rows) if row.variant and _key(row) in plain}


def with_costs(rows: Sequence[Row], predictions: Predictions, labels: NDArray[np.int64]) -> tuple[Row, ...]:
    """The rows; each variant with its parity, change of accuracy and paired test against the fp32 ONNX.

    A variant whose reference is missing, or either's predictions, has no parity: that with the native format is not
    what its column would say.
    """
    found = references(rows)
    known = [index for index, reference in found.items() if index in predictions and reference in predictions]
    right = {index: values.argmax(axis=1) == labels for index, values in predictions.items()}
    tests = dict(zip(known, paired_tests([(right[found[i]], right[i]) for i in known]), strict=True))
    return tuple(
        row.model_copy(
            update={
                "parity": parity.compare(predictions[found[index]], predictions[index]) if index in tests else None,
                "against_fp32": tests.get(index),
                "accuracy_change": _change(row, rows[found[index]]) if index in found else None,
            }
        )
        if row.variant
        else row
        for index, row in enumerate(rows)
    )


def _change(row: Row, reference: Row) -> float | None:
    if row.accuracy is None or reference.accuracy is None:
        return None
    return row.accuracy - reference.accuracy


def _key(row: Row) -> tuple[str, str, int]:
    return row.arm, row.framework, row.seed
