"""Computes one batch in a thread: joins the rows, calls the runtime, splits the result again."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Predict = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


@dataclass(frozen=True, slots=True, eq=False)
class Execution:
    """One call of the runtime."""

    images: int
    input_ns: int
    """Joining the rows."""
    infer_ns: int
    ended_ns: int
    """time.monotonic_ns when the runtime was done."""


@dataclass(slots=True)
class Part:
    """The rows of one request and the execution they come from."""

    probabilities: NDArray[np.float32]
    execution: Execution


def compute(predict: Predict, rows: list[NDArray[np.uint8]]) -> list[Part | Exception]:
    """The outcome of each request's rows, in order.

    A failing batch is computed again request by request, so that only the broken one gets an error.
    """
    try:
        return list(_execute(predict, rows))
    except Exception as error:
        if len(rows) == 1:
            return [error]
    return [outcome for one in rows for outcome in compute(predict, [one])]


def _execute(predict: Predict, rows: list[NDArray[np.uint8]]) -> list[Part]:
    """Raises whatever the runtime raises, and RuntimeError when its result cannot be divided among the requests."""
    started = time.monotonic_ns()
    images = rows[0] if len(rows) == 1 else np.concatenate(rows)
    joined = time.monotonic_ns()
    probabilities = predict(images)
    ended = time.monotonic_ns()
    if probabilities.ndim != 2 or len(probabilities) != len(images):
        raise RuntimeError(f"the model gave an array of shape {probabilities.shape} for {len(images)} images")
    execution = Execution(len(images), joined - started, ended - joined, ended)
    parts, start = [], 0
    for one in rows:
        parts.append(Part(probabilities[start : start + len(one)], execution))
        start += len(one)
    return parts
