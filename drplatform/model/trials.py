"""Whether a quantity has grown worse beyond its noise: a rank test over repeated runs, with the effect that it could have seen. Pure.

The test is Mann-Whitney's U, exact, one-sided (H. B. Mann and D. R. Whitney, Annals of Mathematical Statistics 18, 1947): it asks for no
distribution, and with few runs it says honestly that it cannot tell.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

ALPHA = 0.01
"""How often a gate may cry wolf, per quantity."""
RELEVANT = 1.1
"""A change by less than this factor is of no interest, however sure."""
NEWEST, BEFORE = 5, 20
"""How many of the newest runs are compared with how many before them, at the most."""
_FACTORS = tuple(1.0 + step / 20 for step in range(1, 181))


@dataclass(frozen=True)
class Comparison:
    """The newest runs beside those before. `factor` is new median by old (of a duration; inverted where more is better), `p` how likely
    such ranks are by chance; `detectable` the smallest factor that would have been seen (None: these runs are too few for any)."""

    newest: int
    before: int
    factor: float
    p: float
    detectable: float | None

    @property
    def regressed(self) -> bool:
        return self.p < ALPHA and self.factor > RELEVANT

    def __str__(self) -> str:
        seen = f"a factor of {self.detectable:.2f} would have been seen" if self.detectable else "these are too few runs to see any change"
        chance = f"p = {self.p:.3f}" if self.p >= 0.001 else "p < 0.001"
        return f"{self.newest} newest runs against {self.before} before: factor {self.factor:.2f}, {chance}; {seen}"


def compare(before: Sequence[float], newest: Sequence[float], *, more_is_better: bool = False) -> Comparison | None:
    """Hold the newest values (positive) against those before. None without at least one of each."""
    old, new = [list(map(float, values)) for values in (before, newest)]
    if not old or not new or min(old + new) < 0:
        return None
    if more_is_better:
        old, new = [[1 / v for v in values if v] for values in (old, new)]
    factor = _ratio(statistics.median(new), statistics.median(old))
    return Comparison(len(new), len(old), factor, p_value(old, new), _detectable(old, new))


def split(values: Sequence[float], newest: int = NEWEST) -> tuple[list[float], list[float]]:
    """(before, newest) of values in the order of their runs. Of few runs, the newer half."""
    number = max(1, min(newest, len(values) // 2))
    return list(values[:-number][-BEFORE:]), list(values[-number:])


def p_value(old: Sequence[float], new: Sequence[float]) -> float:
    """How likely ranks as high as those of `new` are if nothing has changed. Exact; equal values count against a change."""
    u = sum(1.0 for n in new for o in old if n > o)
    return _tail(len(old), len(new), math.ceil(u))


def _tail(m: int, n: int, u: int) -> float:
    """P(U >= u) under no change."""
    counts = _counts(m, n)
    return sum(counts[u:]) / math.comb(m + n, n)


@lru_cache(maxsize=512)
def _counts(m: int, n: int) -> tuple[int, ...]:
    """How many of the orders of m old and n new values have U = 0, 1, ... m * n, by the recurrence of Mann and Whitney."""
    if not m or not n:
        return (1,)
    found = [0] * (m * n + 1)
    for u, count in enumerate(_counts(m - 1, n)):  # the largest of all is an old one
        found[u] += count
    for u, count in enumerate(_counts(m, n - 1)):  # the largest of all is a new one: it is above all m old ones
        found[u + m] += count
    return tuple(found)


def _detectable(old: Sequence[float], new: Sequence[float]) -> float | None:
    """The smallest factor by which values that scatter like the new ones would have had to grow from the old median to be seen."""
    if _tail(len(old), len(new), len(old) * len(new)) >= ALPHA:
        return None
    middle, target = statistics.median(new), statistics.median(old)
    alike = [_ratio(v, middle) * target for v in new]
    seen = (f for f in _FACTORS if f >= RELEVANT and p_value(old, [v * f for v in alike]) < ALPHA)
    return next(seen, None)


def _ratio(value: float, by: float) -> float:
    return value / by if by else (1.0 if not value else math.inf)
