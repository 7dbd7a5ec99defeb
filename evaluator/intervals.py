"""Intervals for a share of images."""

from scipy.stats import binomtest

CONFIDENCE = 0.95


def wilson(correct: int, images: int) -> tuple[float, float]:
    """Wilson's score interval for a proportion at 95 % (Wilson 1927), both ends inside 0 to 1."""
    interval = binomtest(correct, images).proportion_ci(confidence_level=CONFIDENCE, method="wilson")
    return float(interval.low), float(interval.high)
