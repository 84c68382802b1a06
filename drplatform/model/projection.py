"""What a recovery would take at another size: a straight line through measurements at several sizes, with an interval. Always an estimate.

Least squares with the prediction interval of a new observation (N. R. Draper and H. Smith, Applied Regression Analysis, 1.4); quantiles of
Student's t by the expansion of G. W. Hill (Communications of the ACM 13, 1970). Pure.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

SURE = 0.9
"""How likely the interval is to hold what would be measured, if time grows with size in a straight line."""
RUNS, SPREAD = 4, 4.0
"""Fewer runs, or a largest size that is less than so many times the smallest, say nothing of other sizes."""


@dataclass(frozen=True)
class Projection:
    """Estimated seconds at `size` bytes: between `lower` and `upper`. From `runs` measurements of `smallest` to `largest` bytes."""

    size: float
    estimate: float
    lower: float
    upper: float
    runs: int
    smallest: float
    largest: float

    @property
    def reach(self) -> float:
        """How many times the largest measured size is projected to: far beyond 10 it is a guess."""
        return self.size / self.largest


def project(measured: Sequence[tuple[float, float]], size: float) -> Projection | str:
    """The seconds at `size` bytes, from (bytes, seconds) that were measured; or, in words, why that cannot be said."""
    sizes = [s for s, _ in measured]
    if len(measured) < RUNS:
        return f"{len(measured)} runs are too few; at least {RUNS}, of different sizes, are needed"
    if max(sizes) < SPREAD * max(1.0, min(sizes)):
        return f"the sizes measured are too alike ({min(sizes):,.0f} to {max(sizes):,.0f} bytes); measure at {SPREAD:g} times the smallest"
    slope, intercept = statistics.linear_regression(sizes, [t for _, t in measured])
    if slope <= 0:
        return "the time measured does not grow with the size, so it is not the size that decides it"
    estimate, half = intercept + slope * size, _half_width(measured, slope, intercept, size)
    return Projection(size, estimate, max(0.0, estimate - half), estimate + half, len(measured), min(sizes), max(sizes))


def _half_width(measured: Sequence[tuple[float, float]], slope: float, intercept: float, size: float) -> float:
    count, mean = len(measured), statistics.fmean(s for s, _ in measured)
    squares = sum((s - mean) ** 2 for s, _ in measured)
    residual = sum((t - intercept - slope * s) ** 2 for s, t in measured) / (count - 2)
    return quantile((1 + SURE) / 2, count - 2) * math.sqrt(residual * (1 + 1 / count + (size - mean) ** 2 / squares))


def quantile(p: float, freedom: int) -> float:
    """Student's t: the value below which lies the part `p` (above one half), at so many degrees of freedom. Exact for 1 and 2."""
    if freedom == 1:
        return math.tan(math.pi * (p - 0.5))
    if freedom == 2:
        return 2 * (p - 0.5) * math.sqrt(2 / (4 * p * (1 - p)))
    z, v = statistics.NormalDist().inv_cdf(p), float(freedom)
    terms = (
        z,
        (z**3 + z) / (4 * v),
        (5 * z**5 + 16 * z**3 + 3 * z) / (96 * v**2),
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * v**3),
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / (92160 * v**4),
    )
    return sum(terms)
