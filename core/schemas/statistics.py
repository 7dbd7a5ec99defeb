"""Comparisons over seeds."""

from core.schemas.base import Name, Schema
from core.schemas.names import Framework


class SeedTest(Schema):
    """The mean of paired differences over seeds, first minus second, and whether it can be told from zero."""

    seeds: int
    mean: float
    interval: tuple[float, float] | None
    """Student's t at 95 %; None for a single seed, and where the seeds do not differ."""
    p_value: float | None
    """Two-sided paired t test; None for fewer than three seeds, and where they do not differ: cannot be tested."""
    p_adjusted: float | None = None
    """After Holm's correction for all comparisons made together."""


class FrameworkTest(Schema):
    """Two frameworks in one arm: test accuracies of the same seeds."""

    arm: Name
    first: Framework
    second: Framework
    test: SeedTest
