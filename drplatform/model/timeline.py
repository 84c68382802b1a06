"""The one list of what happened in a drill. Every measurement, report, alert and metric is a fold over it."""

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from drplatform.model import clock as clocks

PHASES = ("detect", "decide", "fence", "promote", "provision", "restart", "fetch", "restore", "replay", "verify", "switch")
"""The phases of a recovery, in their usual order; a runbook step names its own."""


@dataclass(frozen=True)
class Event:
    """Something that happened at one moment. `name` is `subject.verb`, in the past or as begin/end; `detail` is JSON-able."""

    name: str
    at: clocks.Moment
    detail: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self, origin: float) -> dict[str, Any]:
        """With `t`, the seconds since `origin` (monotonic), and the UTC stamp."""
        return {
            "name": self.name,
            "t": round(self.at.monotonic - origin, 6),
            "utc": self.at.utc.isoformat(),
            **({"detail": dict(self.detail)} if self.detail else {}),
        }


Listener = Callable[[Event], None]


class Timeline:
    """Append-only and safe to append to from any thread; `listener` sees each event as it is added (for progress)."""

    def __init__(self, clock: clocks.Clock, listener: Listener = lambda event: None) -> None:
        self._clock, self._listener = clock, listener
        self._events: list[Event] = []
        self._lock = threading.Lock()

    def add(self, name: str, **detail: Any) -> Event:
        with self._lock:
            event = Event(name, clocks.now(self._clock), detail)
            self._events.append(event)
        self._listener(event)
        return event

    def __iter__(self) -> Iterator[Event]:
        with self._lock:
            return iter(tuple(self._events))

    def named(self, name: str, **detail: Any) -> list[Event]:
        """The events of this name whose detail has these values."""
        return [e for e in self if e.name == name and all(e.detail.get(k) == v for k, v in detail.items())]


@dataclass(frozen=True)
class Span:
    """One step of a recovery: seconds on the monotonic clock."""

    step: str
    phase: str
    begin: float
    end: float


def spans(events: list[Event]) -> list[Span]:
    """The steps that were begun and ended, in the order of their ends. A step that failed has no span."""
    open_: dict[str, Event] = {}
    found = []
    for event in events:
        if event.name == "step.begin":
            open_[event.detail["step"]] = event
        elif event.name == "step.end" and event.detail["step"] in open_:
            begin = open_.pop(event.detail["step"])
            found.append(Span(event.detail["step"], begin.detail["phase"], begin.at.monotonic, event.at.monotonic))
    return found


def phases(events: list[Event]) -> dict[str, float]:
    """Seconds spent in each phase of the recovery, steps that overlap counted once."""
    by_phase: dict[str, list[Span]] = {}
    for span in spans(events):
        by_phase.setdefault(span.phase, []).append(span)
    ordered = sorted(by_phase, key=lambda p: PHASES.index(p) if p in PHASES else len(PHASES))
    return {phase: _covered(by_phase[phase]) for phase in ordered}


def _covered(pieces: list[Span]) -> float:
    total, reached = 0.0, float("-inf")
    for piece in sorted(pieces, key=lambda s: s.begin):
        total += max(0.0, piece.end - max(piece.begin, reached))
        reached = max(reached, piece.end)
    return total
