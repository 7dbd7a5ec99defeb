"""Artefacts compared on the same images.

Sharper than comparing their intervals: what both get right or both get wrong, most images, drops out.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from core.schemas.scores import Agreement, AgreementPair, PairedTest
from core.schemas.summary import Row

ALPHA = 0.05
MATRIX_LIMIT = 24
"""Most artefacts in an agreement matrix."""

Predictions = Mapping[int, NDArray[Any]]
"""Index of a row to probabilities [images, classes] of the same images in the same order."""
Pair = tuple[NDArray[np.bool_], NDArray[np.bool_]]
"""Which images each of two artefacts classified correctly."""


def mcnemar(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> tuple[int, int, float]:
    """McNemar's exact test: images only the first has right, only the second, and the two-sided p value.

    If both are equally accurate, each image on which exactly one is right is a fair coin (McNemar 1947; exact form by
    the binomial distribution). Without such an image p is 1.
    """
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    discordant = only_first + only_second
    return only_first, only_second, float(binomtest(only_first, discordant).pvalue) if discordant else 1.0


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction (Holm 1979): all adjusted values below α hold together with confidence 1 − α."""
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def paired_tests(pairs: Sequence[Pair]) -> list[PairedTest]:
    """McNemar's test of every pair, corrected for all of them together."""
    found = [mcnemar(first, second) for first, second in pairs]
    return [
        PairedTest(only_first=first, only_second=second, p_value=p, p_adjusted=adjusted)
        for (first, second, p), adjusted in zip(found, holm([p for *_, p in found]), strict=True)
    ]


def with_tests(
    rows: Sequence[Row], best: int | None, predictions: Predictions, labels: NDArray[np.int64]
) -> tuple[Row, ...]:
    """The rows, each with its test against the most accurate one where both have predictions.

    The best was chosen on these very images, so its lead is flattered a little; the correction covers the comparisons
    with it.
    """
    if best is None or best not in predictions:
        return tuple(rows)
    right = {index: values.argmax(axis=1) == labels for index, values in predictions.items()}
    others = [index for index in right if index != best]
    tests = dict(zip(others, paired_tests([(right[best], right[index]) for index in others]), strict=True))
    return tuple(
        row.model_copy(update={"against_best": tests[index]}) if index in tests else row
        for index, row in enumerate(rows)
    )


def agreement(indices: Sequence[int], predictions: Predictions, labels: NDArray[np.int64]) -> Agreement | None:
    """Every pair of the given rows that have predictions; None for fewer than two."""
    known = [index for index in indices if index in predictions]
    shown = known[:MATRIX_LIMIT]
    if len(shown) < 2:
        return None
    answers = {index: predictions[index].argmax(axis=1) for index in shown}
    pairs = list(combinations(shown, 2))
    tests = paired_tests([(answers[i] == labels, answers[j] == labels) for i, j in pairs])
    return Agreement(
        rows=tuple(shown),
        images=len(labels),
        omitted=len(known) - len(shown),
        pairs=tuple(
            AgreementPair(first=i, second=j, agreement=float((answers[i] == answers[j]).mean()), test=test)
            for (i, j), test in zip(pairs, tests, strict=True)
        ),
    )
