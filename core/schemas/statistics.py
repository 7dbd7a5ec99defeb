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


class DefaultsTest(Schema):
    """Two frameworks in two arms that differ in their mode alone: what of a difference their own defaults make.

    Differences are those of test accuracy, first minus second.
    """

    idiomatic: Name
    """The arm in which each framework has its own defaults."""
    matched: Name
    """The arm in which everything but the frameworks' kernels is equal."""
    first: Framework
    second: Framework
    own: SeedTest | None
    """The difference in the idiomatic arm, as it is among the framework tests; None where they share no scored seed."""
    equal: SeedTest | None
    """The difference in the matched arm, likewise."""
    moved: SeedTest | None
    """The former minus the latter by seed, over the seeds that all four were scored with; corrected for all pairs."""
    finding: str
    """What may be said of the three, in words."""
