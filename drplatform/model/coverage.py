"""Which disaster of which store was recovered in which way, and which never was: untested cells ranked by risk. Pure.

A cell is (fault, store, recovery). It is tested by a drill that passed; stale once that drill is older than a quarter.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from drplatform.model.policy import Policy

Record = Mapping[str, Any]

RECOVERIES = ("backups", "point in time", "one moment", "restart", "failover", "detection")
MAX_AGE = timedelta(days=92)

RECOVERED_BY = (
    ("the damage of the backups", "detection"),
    ("fails over to", "failover"),
    ("just before the drop", "point in time"),
    ("as of one moment", "one moment"),
    ("as of its latest backup", "backups"),
    ("recovery from backups", "backups"),
    ("recovers by the runbook", "backups"),
    ("started again", "restart"),
    ("starts the servers again", "restart"),
)
"""How a sentence tells the way of the recovery; the first that fits counts."""

SPOKEN = {"mongodb": "MongoDB", "redis": "Redis", "files": "file storage"}
"""How sentences name the stores."""

LIKELIHOOD = {
    "dropped": 3,
    "deleted": 3,
    "overwritten": 3,
    "lost": 2,
    "killed": 3,
    "ransomware": 3,
    "flushed": 2,
    "full": 3,
    "corrupted": 2,
}
"""How often the field sees a disaster of this word, from 1 (seldom, for those not named) to 3 (often)."""


@dataclass(frozen=True)
class Cell:
    fault: str
    store: str
    recovery: str

    def __str__(self) -> str:
        return f"{self.fault} of {self.store}, recovered by {self.recovery}"


@dataclass(frozen=True)
class Seen:
    """What is known of a cell: the newest drill, its verdict and when."""

    drill: str
    verdict: str
    at: datetime

    def fresh(self, now: datetime) -> bool:
        return self.verdict == "PASSED" and now - self.at <= MAX_AGE


@dataclass(frozen=True)
class Gap:
    """A cell without a fresh pass. `risk` is likelihood times impact (1 to 3 each); `why` says what is missing."""

    cell: Cell
    risk: int
    why: str


@dataclass(frozen=True)
class Matrix:
    at: datetime
    cells: tuple[Cell, ...]
    seen: Mapping[Cell, Seen]
    gaps: tuple[Gap, ...]

    @property
    def tested(self) -> int:
        return sum(1 for cell in self.cells if cell in self.seen and self.seen[cell].fresh(self.at))

    @property
    def fallen(self) -> tuple[Cell, ...]:
        """Cells that were tested once and are not any more."""
        return tuple(cell for cell in self.cells if cell in self.seen and not self.seen[cell].fresh(self.at))


def matrix(faults: Mapping[str, Sequence[str]], records: Iterable[Record], policy: Policy, now: datetime) -> Matrix:
    """The cells of the faults (kind -> stores that each may hurt), with what drills among the records have shown of them."""
    seen = _seen(records)
    possible = [Cell(kind, store, way) for kind, stores in faults.items() for store in stores for way in ways(kind)]
    cells = tuple(dict.fromkeys([*possible, *seen]))
    gaps = [gap for cell in cells if (gap := _gap(cell, seen.get(cell), policy, now))]
    return Matrix(now, cells, seen, tuple(sorted(gaps, key=lambda g: (-g.risk, str(g.cell)))))


def ways(fault: str) -> tuple[str, ...]:
    """The recoveries that can bring back what such a disaster takes."""
    if fault.startswith(("backup-", "manifest-", "log-gap", "retention-")):
        return ("detection",)
    if fault in ("region-killed", "region-lost"):
        return ("restart", "failover") if fault == "region-killed" else ("backups", "one moment", "failover")
    words = set(fault.split("-"))
    if words & {
        "dropped",
        "deleted",
        "overwritten",
        "corrupted",
        "flushed",
        "ransomware",
        "emptied",
        "truncated",
        "evicted",
        "wrong",
        "rotated",
    }:
        return ("backups", "point in time")
    if words & {"lost", "damaged"}:
        return ("backups", "one moment") if "lost" in words else ("backups",)
    return ("restart",)


def _seen(records: Iterable[Record]) -> dict[Cell, Seen]:
    """The newest drill of each cell; one that was inconclusive says nothing."""
    found: dict[Cell, Seen] = {}
    evidence = (r for r in records if "verdict" in r and "scenario" in r and r["verdict"] != "INCONCLUSIVE")
    for record in sorted(evidence, key=lambda r: str(r["finished"])):
        told = Seen(str(record["id"]), str(record["verdict"]), datetime.fromisoformat(str(record["finished"])))
        for cell in cells_of(record):
            found[cell] = told
    return found


def cells_of(record: Record) -> list[Cell]:
    """What the drill has tested."""
    sentences = [str(s["text"]) for s in record["scenario"]["sentences"] if s["result"] == "passed"]
    hurt = [(str(f["fault"]), str(store)) for f in record["faults"] for store in f["affects"] or ("backups",)]
    found = [Cell(fault, store, way) for fault, store in hurt for sentence in sentences if (way := _way(sentence, store))]
    return list(dict.fromkeys(found))


def _way(sentence: str, store: str) -> str:
    """How the sentence recovers the store: by the part that names it, if one does."""
    parts = [p for p in re.split(r", | and ", sentence) if SPOKEN.get(store, store) in p]
    told = next((way for part in parts for words, way in RECOVERED_BY if words in part), "")
    return told or next((way for words, way in RECOVERED_BY if words in sentence), "")


def _gap(cell: Cell, seen: Seen | None, policy: Policy, now: datetime) -> Gap | None:
    if seen and seen.fresh(now):
        return None
    why = "never tested" if seen is None else f"drill {seen.drill} failed" if seen.verdict != "PASSED" else f"drill {seen.drill} is too old"
    return Gap(cell, likelihood(cell.fault) * impact(cell.store, policy), why)


def likelihood(fault: str) -> int:
    return max((LIKELIHOOD.get(word, 1) for word in fault.split("-")), default=1)


def impact(store: str, policy: Policy) -> int:
    """From 1 to 3: a critical tier counts, and an RPO that leaves no time."""
    if store not in policy.stores:
        return 1
    return 1 + (policy.stores[store].tier == "critical") + (policy.rpo(store) < 3600)
