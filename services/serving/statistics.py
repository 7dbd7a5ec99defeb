"""Counts and times of one loaded model. Written by the event loop only, so nothing here locks."""

import time
from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field
from itertools import accumulate

from services.serving.compute import Execution
from services.serving.requests import Timing

PHASES = ("queue", "preprocess", "infer", "postprocess")
REASONS = ("REJECTED", "CANCELED", "BACKEND", "OTHER")
"""Why requests fail, as Triton has it: refused by a full queue or by its time limit; given up by the caller or past its
deadline; the runtime raised; anything else, such as what does not fit the model or cannot be read."""
SECONDS = (1e-5, 3e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Upper bounds of the latency buckets."""
IMAGES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0)
"""Upper bounds of the batch-size buckets."""


@dataclass(slots=True)
class Duration:
    """How often something happened and how long it took altogether."""

    count: int = 0
    ns: int = 0

    def add(self, ns: int) -> None:
        self.count += 1
        self.ns += ns


class Histogram:
    """Counts per bucket; a value belongs to the first bucket whose upper bound is not below it."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.sum = 0.0
        self._counts = [0] * (len(bounds) + 1)

    def observe(self, value: float) -> None:
        self._counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def buckets(self) -> list[tuple[str, int]]:
        """Upper bound as text and cumulative count, as Prometheus has them; the last bound is +Inf."""
        labels = [*map(str, self.bounds), "+Inf"]
        return list(zip(labels, accumulate(self._counts), strict=True))


@dataclass(slots=True)
class BatchStatistics:
    """Batches of one size."""

    compute_input: Duration = field(default_factory=Duration)
    compute_infer: Duration = field(default_factory=Duration)
    compute_output: Duration = field(default_factory=Duration)


class Statistics:
    """What happened to one version of one model since it was loaded."""

    def __init__(self) -> None:
        self.success, self.fail = Duration(), Duration()
        self.failures: Counter[str] = Counter()
        """Failed requests by reason."""
        self.phases = {phase: Duration() for phase in PHASES}
        self.batches: dict[int, BatchStatistics] = {}
        self.images = 0
        """Images of answered requests."""
        self.executions = 0
        self.last_ms = 0
        """Time of the last request, milliseconds since 1970."""
        self.latency = {phase: Histogram(SECONDS) for phase in (*PHASES, "request")}
        self.batch_size = Histogram(IMAGES)

    def answered(self, images: int, timing: Timing, total_ns: int) -> None:
        """A request was answered."""
        self.images += images
        self.last_ms = time.time_ns() // 1_000_000
        self.success.add(total_ns)
        self.latency["request"].observe(total_ns * 1e-9)
        spent = (timing.queue_ns, timing.preprocess_ns, timing.infer_ns, timing.postprocess_ns)
        for phase, ns in zip(PHASES, spent, strict=True):
            self.phases[phase].add(ns)
            self.latency[phase].observe(ns * 1e-9)

    def failed(self, reason: str, total_ns: int) -> None:
        """A request failed; `reason` is one of REASONS."""
        self.last_ms = time.time_ns() // 1_000_000
        self.fail.add(total_ns)
        self.failures[reason] += 1

    def executed(self, execution: Execution, output_ns: int) -> None:
        """The runtime computed a batch."""
        self.executions += 1
        self.batch_size.observe(execution.images)
        batch = self.batches.setdefault(execution.images, BatchStatistics())
        batch.compute_input.add(execution.input_ns)
        batch.compute_infer.add(execution.infer_ns)
        batch.compute_output.add(output_ns)
