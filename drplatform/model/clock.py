"""Time as an argument: the clock protocol, moments, intervals, and waiting for a condition with a deadline.

Durations come from `Clock.monotonic` alone; UTC is for records. The system clock is made in `environment.py`.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol, TypeVar

from drplatform.model import errors

T = TypeVar("T")


@dataclass(frozen=True)
class Moment:
    """One instant on both clocks. `monotonic` in seconds, comparable only within one process."""

    monotonic: float
    utc: datetime


@dataclass(frozen=True)
class Interval:
    """Bounds of a measured quantity in seconds: the true value lies in [lower, upper]."""

    lower: float
    upper: float

    def __post_init__(self) -> None:
        if not self.lower <= self.upper:
            raise ValueError(f"an interval needs lower <= upper, not [{self.lower}, {self.upper}]")

    @property
    def width(self) -> float:
        return self.upper - self.lower

    def contains(self, value: float) -> bool:
        return self.lower <= value <= self.upper


class Clock(Protocol):
    """Where time comes from. One instance a process."""

    def monotonic(self) -> float:
        """Seconds on the clock that durations come from."""

    def utc(self) -> datetime:
        """The wall clock, with time zone UTC, for records only."""

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Wait until the event is set or the seconds are over; True if it is set."""


def now(clock: Clock) -> Moment:
    """Both readings of the clock as one moment."""
    return Moment(clock.monotonic(), clock.utc())


class FakeClock:
    """A clock that moves only when waited on or told to: for tests of the engine's own logic (single-threaded)."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._start = start
        self.elapsed = 0.0

    def monotonic(self) -> float:
        return self.elapsed

    def utc(self) -> datetime:
        return self._start + timedelta(seconds=self.elapsed)

    def wait(self, event: threading.Event, seconds: float) -> bool:
        if not event.is_set():
            self.elapsed += max(0.0, seconds)
        return event.is_set()

    def advance(self, seconds: float) -> None:
        self.elapsed += seconds


def wait_for(
    clock: Clock,
    what: str,
    look: Callable[[], T],
    *,
    within: float,
    every: float = 0.02,
    ignoring: tuple[type[Exception], ...] = (),
    until: Callable[[T], bool] = bool,
) -> T:
    """Look every `every` seconds until `until(look())` holds, and return what was seen then.

    Exceptions of the types in `ignoring` count as "not yet". After `within` seconds raises DeadlineExceeded, which
    says what was last seen. Always looks at least once.
    """
    deadline = clock.monotonic() + within
    never = threading.Event()
    while True:
        try:
            seen = look()
            if until(seen):
                return seen
            last = repr(seen)
        except ignoring as error:
            last = f"{type(error).__name__}: {error}"
        remaining = deadline - clock.monotonic()
        if remaining <= 0:
            raise errors.DeadlineExceeded(what, within, last)
        clock.wait(never, min(every, remaining))


class Bound(Protocol):
    """Ends what is done within it when that takes longer, wherever it hangs."""

    def __call__(self, what: str, seconds: float, seen: Callable[[], str] = str) -> AbstractContextManager[object]:
        """On leaving raises DeadlineExceeded when it was ended. `what` is waited for, in words; `seen` tells then what was going on."""


def unbounded(what: str, seconds: float, seen: Callable[[], str] = str) -> AbstractContextManager[object]:
    """The `Bound` that never ends anything."""
    return nullcontext()


@contextmanager
def stopwatch(clock: Clock) -> Iterator[Callable[[], float]]:
    """Yield a function that tells the seconds since the block was entered."""
    begin = clock.monotonic()
    yield lambda: clock.monotonic() - begin
