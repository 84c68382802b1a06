"""Where things lie on an axis, in percent of its width. Knows numbers of seconds only; the template draws."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from drplatform.reports import wording

ZERO, LEFT, RIGHT = 1.5, 12.0, 95.0
"""On a logarithmic axis, in percent of the width: where zero lies, and where values above zero begin and end."""

_LOG_TICKS = (0.001, 0.01, 0.1, 1, 10, 60, 600, 3600, 14400, 86400, 604800, 2592000, 31536000)
_STEPS = (
    0.001,
    0.002,
    0.005,
    0.01,
    0.02,
    0.05,
    0.1,
    0.2,
    0.5,
    1,
    2,
    5,
    10,
    15,
    30,
    60,
    120,
    300,
    600,
    900,
    1800,
    3600,
    7200,
    14400,
    43200,
    86400,
)


@dataclass(frozen=True)
class Tick:
    x: float
    label: str


@dataclass(frozen=True)
class LogAxis:
    """A logarithmic axis with a place of its own for zero at the left end: 12 s and a target of 1 h are both readable on it."""

    low: float
    high: float

    def x(self, seconds: float) -> float:
        if seconds <= 0:
            return ZERO
        part = math.log(max(seconds, self.low) / self.low) / math.log(self.high / self.low)
        return round(LEFT + (RIGHT - LEFT) * min(1.0, part), 3)

    def ticks(self) -> list[Tick]:
        inside = [s for s in _LOG_TICKS if self.low <= s <= self.high]
        every = math.ceil(len(inside) / 6)
        return [Tick(self.x(0), "0"), *(Tick(self.x(s), wording.duration(s)) for s in inside[::every])]


def log_axis(values: Iterable[float]) -> LogAxis:
    """The axis that holds all the values (seconds); those of zero or below need no room."""
    positive = [v for v in values if v > 0] or [1.0]
    low = 10.0 ** math.floor(math.log10(min(positive)) - 0.01)
    return LogAxis(max(low, 0.001), max(positive) * 2)


@dataclass(frozen=True)
class TimeAxis:
    """A linear axis of seconds."""

    begin: float
    end: float

    def x(self, seconds: float) -> float:
        part = (seconds - self.begin) / (self.end - self.begin)
        return round(100 * min(1.0, max(0.0, part)), 3)

    def ticks(self, about: int = 7) -> list[Tick]:
        step = next((s for s in _STEPS if (self.end - self.begin) / s <= about), _STEPS[-1])
        first, last = math.ceil(self.begin / step), math.floor(self.end / step)
        marks = [(n * step, self.x(n * step)) for n in range(first, min(last, first + 50) + 1)]
        return [Tick(x, wording.duration(at)) for at, x in marks if 4 <= x <= 96]


def time_axis(values: Iterable[float]) -> TimeAxis | None:
    """The axis that holds all the values with some room at both ends, or None when there are none."""
    found = list(values)
    if not found:
        return None
    room = max(0.06 * (max(found) - min(found)), 0.05)
    return TimeAxis(max(0.0, min(found) - room), max(found) + room)


@dataclass(frozen=True)
class Bar:
    """A piece of a row: where it begins and how wide it is, and what it stands for."""

    x: float
    width: float
    kind: str
    title: str = ""

    @property
    def label_x(self) -> float:
        """Where a label beside the bar goes: after it, or before it when there is no room after."""
        return self.x + self.width if self.label_anchor == "start" else self.x

    @property
    def label_anchor(self) -> str:
        return "start" if self.x + self.width < 78 else "end"


def bar(axis: TimeAxis | LogAxis, begin: float, end: float, kind: str, title: str = "") -> Bar:
    left, right = axis.x(begin), axis.x(end)
    return Bar(left, round(right - left, 3), kind, title)
