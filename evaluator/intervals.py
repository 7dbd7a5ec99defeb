"""Intervals for a share of images."""

import math
from statistics import NormalDist

from scipy.stats import binomtest

CONFIDENCE = 0.95


def wilson(correct: int, images: int) -> tuple[float, float]:
    """Wilson's score interval for a proportion at 95 % (Wilson 1927), both ends inside 0 to 1."""
    interval = binomtest(correct, images).proportion_ci(confidence_level=CONFIDENCE, method="wilson")
    return float(interval.low), float(interval.high)


def difference_half_width(shares: tuple[float, float], images: tuple[int, int]) -> float:
    """Half of Wald's interval at 95 % for the difference of two shares of different images (Agresti 2013, 3.1.4)."""
    variance = sum(share * (1 - share) / number for share, number in zip(shares, images, strict=True))
    return NormalDist().inv_cdf((1 + CONFIDENCE) / 2) * math.sqrt(variance)
