"""Deficiency -> corrective action -> retest. Pure; reads records of the audit log.

A drill that failed is a deficiency. People plan actions against it; only a later drill of the same scenario that passes under today's
policy closes it. Nobody can close one by saying so.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

Record = Mapping[str, Any]

ACTION = "corrective action"
"""The kind of the audit log's records that plan actions: `drill`, `text`, `owner`, `due`, beside who and when."""


@dataclass(frozen=True)
class Action:
    """What somebody has undertaken to do about a drill that failed. `due` is a day."""

    drill: str
    text: str
    owner: str
    due: date
    planned: datetime


@dataclass(frozen=True)
class Deficiency:
    """A drill that failed, the clauses that it bears on, what is planned, and the drill that proved it mended (if any)."""

    drill: str
    scenario: str
    found: datetime
    finding: str
    clauses: tuple[str, ...] = ()
    actions: tuple[Action, ...] = ()
    retest: str = ""
    retested: datetime | None = None

    @property
    def closed(self) -> bool:
        return bool(self.retest)

    def state(self, today: date) -> str:
        """`closed by retest`, `action overdue`, `action planned` or `no action planned`."""
        if self.closed:
            return "closed by retest"
        if not self.actions:
            return "no action planned"
        return "action overdue" if min(a.due for a in self.actions) < today else "action planned"


def deficiencies(
    records: Iterable[Record], policy_hash: str, clauses: Callable[[Record], Sequence[str]] = lambda record: ()
) -> tuple[Deficiency, ...]:
    """All deficiencies among the records of the log, newest first. `clauses` tells which clauses a record bears on."""
    log = list(records)
    evidence = sorted((r for r in log if "verdict" in r and "scenario" in r), key=lambda r: str(r["finished"]))
    actions = [_action(r) for r in log if r.get("kind") == ACTION]
    failed = [r for r in evidence if r["verdict"] == "FAILED"]
    return tuple(_deficiency(r, evidence, actions, policy_hash, clauses) for r in reversed(failed))


def _deficiency(
    record: Record, evidence: Sequence[Record], actions: Sequence[Action], policy_hash: str, clauses: Callable[[Record], Sequence[str]]
) -> Deficiency:
    retest = _retest(record, evidence, policy_hash)
    return Deficiency(
        drill=str(record["id"]),
        scenario=str(record["scenario"]["name"]),
        found=datetime.fromisoformat(str(record["finished"])),
        finding=str(record.get("summary", "")),
        clauses=tuple(clauses(record)),
        actions=tuple(a for a in actions if a.drill == record["id"]),
        retest=str(retest["id"]) if retest else "",
        retested=datetime.fromisoformat(str(retest["finished"])) if retest else None,
    )


def _retest(failed: Record, evidence: Sequence[Record], policy_hash: str) -> Record | None:
    """The first later drill of the same scenario on the same platform that passed under today's policy."""
    later = (r for r in evidence if str(r["finished"]) > str(failed["finished"]) and _repeats(r, failed))
    return next((r for r in later if r["verdict"] == "PASSED" and r["policy"]["hash"] == policy_hash), None)


def _repeats(record: Record, failed: Record) -> bool:
    return bool(record["scenario"]["name"] == failed["scenario"]["name"] and record["platform"] == failed["platform"])


def _action(record: Record) -> Action:
    return Action(
        str(record["drill"]),
        str(record["text"]),
        str(record["owner"]),
        date.fromisoformat(str(record["due"])),
        datetime.fromisoformat(str(record["when"])),
    )
