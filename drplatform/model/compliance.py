"""What evidence says about a written strategy: clause by clause and control by control. Pure; reads records of the audit log.

A clause is one promise of the strategy, in its words. It is proven by the newest evidence that concerns it, while that is fresh: younger
than the cadence of its drill, and made under today's policy with today's server. A clause that no drill has tested is never green.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from drplatform.model import deficiency as deficiencies
from drplatform.model.deficiency import Deficiency
from drplatform.model.policy import Policy

Record = Mapping[str, Any]
Proof = Callable[[Record, Policy], bool | None]
"""Whether the evidence shows that the clause holds; None when it does not concern the clause."""

MAX_AGE = {"monthly": timedelta(days=31), "quarterly": timedelta(days=92), "biannual": timedelta(days=184)}
"""How long the evidence of a drill counts, by its cadence; of one without a cadence as long as that of a monthly one."""


class Status(Enum):
    """In order of concern."""

    PROVEN = "proven"
    STALE = "stale"
    NEVER_TESTED = "never tested"
    FAILED = "failed"


CONCERN = tuple(Status)


@dataclass(frozen=True)
class Log:
    """What a promise that people keep is judged by: the records of the audit log in its order, the deficiencies among them, today's policy."""

    records: tuple[Record, ...]
    deficiencies: tuple[Deficiency, ...]
    policy: Policy
    now: datetime


@dataclass(frozen=True)
class Standing:
    """How such a promise stands, by whom or why, and until when."""

    status: Status
    reason: str
    expires: datetime | None = None


@dataclass(frozen=True)
class Clause:
    """One promise, shown by drills (`proof`) or by what people have done (`kept`). `how`: what to run for that."""

    id: str
    section: str
    text: str
    controls: tuple[str, ...]
    proof: Proof | None = None
    kept: Callable[[Log], Standing] | None = None
    how: str = ""


@dataclass(frozen=True)
class Finding:
    """What is known of a clause: by which evidence (ids, newest first), until when, why if it is not proven, and on which platform if it is."""

    clause: Clause
    status: Status
    evidence: tuple[str, ...] = ()
    expires: datetime | None = None
    reason: str = ""
    platform: str = ""


@dataclass(frozen=True)
class Due:
    """A drill of the policy: when it last passed and when it must pass again (`due` None: it never has)."""

    name: str
    cadence: str
    passed: datetime | None
    due: datetime | None
    attempts: int

    def overdue(self, now: datetime) -> bool:
        return self.due is None or self.due < now


@dataclass(frozen=True)
class Basis:
    """What an assessment stands on: the policy, the records of the audit log and the hash of its last, the drills (of all verdicts) and where."""

    policy: str = ""
    policy_hash: str = ""
    records: int = 0
    head: str = ""
    drills: int = 0
    platforms: tuple[str, ...] = ()
    first: datetime | None = None
    last: datetime | None = None


@dataclass(frozen=True)
class Assessment:
    at: datetime
    findings: tuple[Finding, ...]
    calendar: tuple[Due, ...]
    unfinished: tuple[str, ...]
    deficiencies: tuple[Deficiency, ...] = ()
    basis: Basis = field(default_factory=Basis)

    def of(self, control: str) -> tuple[Finding, ...]:
        """The findings that bear on a control, e.g. `SOC 2 A1.3`."""
        return tuple(f for f in self.findings if control in f.clause.controls)

    def control(self, control: str) -> Status:
        """A control stands as its worst clause does."""
        return max((f.status for f in self.of(control)), key=CONCERN.index)

    def proven(self, control: str) -> int:
        """How many of the control's clauses are proven."""
        return sum(f.status is Status.PROVEN for f in self.of(control))

    def standing(self, control: str) -> str:
        """The control's status in words: one of which some clauses are proven is not simply `never tested`."""
        status = self.control(control)
        return "not all tested" if status is Status.NEVER_TESTED and self.proven(control) else status.value

    @property
    def controls(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(c for f in self.findings for c in f.clause.controls))


def assess(
    clauses: Sequence[Clause], records: Iterable[Record], policy: Policy, now: datetime, unfinished: tuple[str, ...] = ()
) -> Assessment:
    """Hold the clauses against the evidence among the records, which may be in any order."""
    log = list(records)
    evidence = sorted(_with_what_was_said(log), key=lambda r: str(r["finished"]), reverse=True)
    found = deficiencies.deficiencies(log, policy.hash, lambda record: _concerned(clauses, record, policy))
    whole = Log(tuple(log), found, policy, now)
    findings = tuple(_kept(c, whole) if c.kept else _finding(c, evidence, policy, now) for c in clauses)
    return Assessment(now, findings, calendar(policy, log), unfinished, found, _basis(log, evidence, policy))


def _kept(clause: Clause, log: Log) -> Finding:
    assert clause.kept
    standing = clause.kept(log)
    return Finding(clause, standing.status, (), standing.expires, standing.reason)


def _basis(log: Sequence[Record], evidence: Sequence[Record], policy: Policy) -> Basis:
    """`evidence` is in order, the newest first."""
    return Basis(
        policy.name,
        policy.hash,
        len(log),
        str(log[-1].get("hash", "")) if log else "",
        len(evidence),
        tuple(sorted({str(r["platform"]) for r in evidence})),
        finished(evidence[-1]) if evidence else None,
        finished(evidence[0]) if evidence else None,
    )


def calendar(policy: Policy, records: Iterable[Record]) -> tuple[Due, ...]:
    """The drills of the policy: when they passed, and when they must pass again."""
    evidence = sorted((r for r in records if "verdict" in r and "scenario" in r), key=lambda r: str(r["finished"]), reverse=True)
    return tuple(_due(rule.name, rule.cadence, evidence) for rule in policy.drills)


def _with_what_was_said(log: Sequence[Record]) -> Iterable[Record]:
    """The drills, each with what people did about it later: `about` are the kinds of the records that name it."""
    about: dict[str, list[str]] = {}
    for record in log:
        if "drill" in record and "verdict" not in record:
            about.setdefault(str(record["drill"]), []).append(str(record.get("kind")))
    return ({**r, "about": about.get(str(r["id"]), [])} for r in log if "verdict" in r and "scenario" in r)


def _concerned(clauses: Sequence[Clause], record: Record, policy: Policy) -> tuple[str, ...]:
    return tuple(c.id for c in clauses if c.proof and c.proof(record, policy) is not None)


def _finding(clause: Clause, evidence: Sequence[Record], policy: Policy, now: datetime) -> Finding:
    if clause.proof is None:
        return Finding(clause, Status.NEVER_TESTED, reason="no drill shows this yet")
    shown = [(r, clause.proof(r, policy)) for r in evidence]
    concerned = [(r, holds) for r, holds in shown if holds is not None]
    decisive = [(r, holds) for r, holds in concerned if r["verdict"] != "INCONCLUSIVE" and not (holds and failed_elsewhere(r))]
    ids = tuple(str(r["id"]) for r, _ in concerned)
    if not decisive:
        reason = f"the last of {len(ids)} attempts, {ids[0]}, did not pass as a whole" if ids else "no drill has tested it"
        return Finding(clause, Status.NEVER_TESTED, ids, reason=reason)
    newest, holds = decisive[0]
    if newest["verdict"] != "PASSED" or not holds:
        return Finding(clause, Status.FAILED, ids, reason=f"drill {newest['id']}: {newest['summary']}")
    expires = finished(newest) + MAX_AGE.get(newest["scenario"]["cadence"], MAX_AGE["monthly"])
    stale = _stale(newest, evidence, policy, now, expires)
    return Finding(clause, Status.STALE if stale else Status.PROVEN, ids, expires, stale, str(newest["platform"]))


def failed_elsewhere(record: Record) -> bool:
    """Whether the drill failed by what it measured and checked, so that each clause can tell whether it was concerned.

    For a clause that it does not concern such a drill proves nothing, and takes nothing away.
    """
    return record["verdict"] == "FAILED" and any(part["verdict"] == "FAILED" for part in (*record["measurements"], *record["checks"]))


def _stale(proof: Record, evidence: Sequence[Record], policy: Policy, now: datetime, expires: datetime) -> str:
    """Why the proof does not count any more; empty when it does."""
    if expires < now:
        return f"drill {proof['id']} is older than its cadence allows"
    if proof["policy"]["hash"] != policy.hash:
        return f"the policy has changed since drill {proof['id']}"
    for store in policy.stores:
        seen = [r["versions"][store] for r in evidence if r["platform"] == proof["platform"] and store in r["versions"]]
        if store in proof["versions"] and seen and proof["versions"][store] != seen[0]:
            return f"{store} was {proof['versions'][store]} in drill {proof['id']}, and is {seen[0]} since"
    return ""


def _due(name: str, cadence: str, evidence: Sequence[Record]) -> Due:
    """A drill of the policy is the feature file of its name: database-recovery is .../database_recovery.feature.

    It has passed when the newest run of each of its scenarios has.
    """
    own = [r for r in evidence if str(r["scenario"]["source"]).endswith(f"/{name.replace('-', '_')}.feature")]
    newest = {str(r["scenario"]["name"]): r for r in reversed(own)}
    whole = bool(newest) and all(r["verdict"] == "PASSED" for r in newest.values())
    passed = min(finished(r) for r in newest.values()) if whole else None
    return Due(name, cadence, passed, passed + MAX_AGE[cadence] if passed else None, len(own))


def finished(record: Record) -> datetime:
    return datetime.fromisoformat(str(record["finished"]))
