"""The measurements of all drills, as a fold over the records of the audit log. Pure.

Every attempt is kept; what could not be measured is no point. A record's phases, steps and backups are points, too.
"""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

Record = Mapping[str, Any]

RTO, RPO, PHASE, STEP, SIZE, THROUGHPUT = "rto", "rpo", "phase", "step", "size", "throughput"
"""Seconds for the first four; bytes before compression; bytes a second of a restore."""


@dataclass(frozen=True)
class Point:
    """One number of one drill: `of` says what (RTO ...), `subject` of which store, phase or step. `value` is the upper bound where there are two."""

    drill: str
    at: datetime
    scenario: str
    platform: str
    policy: str
    verdict: str
    of: str
    subject: str
    value: float
    lower: float
    target: float | None = None


@dataclass(frozen=True)
class Expected:
    """How long a step took in past drills, in seconds."""

    runs: int
    median: float
    longest: float


def evidence(records: Iterable[Record]) -> list[Record]:
    """The drills among the records, oldest first."""
    return sorted((r for r in records if "verdict" in r and "scenario" in r), key=lambda r: str(r["finished"]))


def points(records: Iterable[Record]) -> tuple[Point, ...]:
    """All points, oldest drill first."""
    return tuple(point for record in evidence(records) for point in _points(record))


def chosen(found: Iterable[Point], of: str, subject: str | None = None, scenario: str | None = None) -> list[Point]:
    """The points of one quantity."""
    return [p for p in found if p.of == of and subject in (None, p.subject) and scenario in (None, p.scenario)]


def durations(found: Iterable[Point]) -> dict[str, Expected]:
    """How long each step took, by its name, in drills that passed."""
    by_step: dict[str, list[float]] = {}
    for point in found:
        if point.of == STEP and point.verdict == "PASSED":
            by_step.setdefault(point.subject, []).append(point.value)
    return {step: Expected(len(v), statistics.median(v), max(v)) for step, v in by_step.items()}


def _points(record: Record) -> list[Point]:
    return [
        *(_measured(record, m) for m in record["measurements"] if m.get("upper") is not None),
        *(_point(record, PHASE, name, float(seconds)) for name, seconds in record["phases"].items()),
        *(_point(record, STEP, s["step"], s["end"] - s["begin"]) for s in record["spans"] if "end" in s and "begin" in s),
        *_volumes(record),
    ]


def _measured(record: Record, measurement: Mapping[str, Any]) -> Point:
    return _point(record, measurement["name"], measurement["subject"], measurement["upper"], measurement["lower"], measurement["target"])


def _volumes(record: Record) -> Iterable[Point]:
    """The size of what each store was recovered from, and how fast that went in."""
    sizes: dict[str, float] = {}
    for backup in record["backups"]:
        if isinstance(backup.get("plain_bytes"), int | float):
            sizes[backup["store"]] = sizes.get(backup["store"], 0.0) + backup["plain_bytes"]
    seconds = {s["step"]: s["end"] - s["begin"] for s in record["spans"] if "end" in s and "begin" in s}
    for store, size in sizes.items():
        yield _point(record, SIZE, store, size)
        if taken := seconds.get(f"Restore {store}"):
            yield _point(record, THROUGHPUT, store, size / taken)


def _point(record: Record, of: str, subject: str, value: float, lower: float | None = None, target: float | None = None) -> Point:
    return Point(
        drill=str(record["id"]),
        at=datetime.fromisoformat(str(record["finished"])),
        scenario=str(record["scenario"]["name"]),
        platform=str(record["platform"]),
        policy=str(record["policy"]["hash"]),
        verdict=str(record["verdict"]),
        of=of,
        subject=str(subject),
        value=float(value),
        lower=float(value if lower is None else lower),
        target=target,
    )


def series(found: Sequence[Point]) -> dict[tuple[str, str], list[Point]]:
    """Points by scenario and subject, in their order."""
    grouped: dict[tuple[str, str], list[Point]] = {}
    for point in found:
        grouped.setdefault((point.scenario, point.subject), []).append(point)
    return grouped


def sized(found: Iterable[Point], store: str) -> list[tuple[float, float]]:
    """(bytes restored, seconds until users were served) of the store, of each drill that passed and measured both."""
    own = [p for p in found if p.subject == store and p.verdict == "PASSED"]
    sizes = {p.drill: p.value for p in own if p.of == SIZE}
    return [(sizes[p.drill], p.value) for p in own if p.of == RTO and p.drill in sizes]
