"""What is watched day by day, and which alerts follow from it. Pure: works on what was observed at one moment.

Every alert is a sentence that says what is wrong and what to do next. What was never seen is as alarming as what was seen to fail.
"""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from drplatform.model.compliance import Due
from drplatform.model.policy import Policy
from drplatform.model.replication import Replication, Role

CRITICAL, WARNING = "critical", "warning"

LATE = timedelta(minutes=30)
STALLED = timedelta(seconds=60)
"""A capture seals what came each second, and each ten seconds that nothing came; behind by more, it waits for something that is away."""
"""So long after its time a backup may still be under way; a longer one may take half of its period."""
ANOMALY = 6.0
"""A size is anomalous when it lies so many median absolute deviations from the median (about 4 standard deviations of normal data) ..."""
ANOMALY_SHARE = 0.25
"""... and so much of the median: equal backups have no deviation at all."""
HISTORY = 5
"""So many earlier backups are needed to tell an anomaly."""
FULL_SOON = timedelta(days=14)
UNREADABLE = datetime.fromtimestamp(0, UTC)
"""The end of a certificate or key that is not there, or is none."""


def grace(period: timedelta) -> timedelta:
    """So late a backup may be that is due once in a period."""
    return max(LATE, period / 2)


@dataclass(frozen=True)
class Job:
    """One rule of the policy: its store and kind, the last time at which its backup was due and may not be late any more (None: never yet),
    the sizes of its backups, oldest first, and when the newest of them was finished. `failure` is what the last attempt failed with; empty
    when it did not."""

    store: str
    kind: str
    due: datetime | None
    finished: datetime | None
    sizes: tuple[int, ...] = ()
    failure: str = ""


@dataclass(frozen=True)
class Capture:
    """A continuous capture: seconds of history not yet sealed (None: it does not run), and what it said last when it ended by itself."""

    store: str
    lag: float | None
    problem: str = ""


@dataclass(frozen=True)
class Recovery:
    """The newest measurement of a drill: seconds, target, verdict, when."""

    name: str
    subject: str
    upper: float | None
    target: float
    verdict: str
    at: datetime


@dataclass(frozen=True)
class Observed:
    """Everything that is watched, at one moment. `reached`: by store, the newest moment that can be recovered to; None: none can.

    `capacity` in bytes; None when nobody said. `growth` in bytes a day.
    """

    at: datetime
    jobs: tuple[Job, ...] = ()
    captures: tuple[Capture, ...] = ()
    reached: Mapping[str, datetime | None] = field(default_factory=dict)
    recoveries: tuple[Recovery, ...] = ()
    drills: tuple[Due, ...] = ()
    damaged: tuple[str, ...] = ()
    stored_bytes: int = 0
    growth: float = 0.0
    capacity: int | None = None
    expiries: Mapping[str, datetime] = field(default_factory=dict)
    replications: tuple[Replication, ...] = ()

    def recovery_point(self, store: str) -> float | None:
        """Seconds of history that a loss of the store now would cost."""
        reached = self.reached.get(store)
        return None if reached is None else max(0.0, (self.at - reached).total_seconds())


@dataclass(frozen=True)
class Alert:
    """`name` and `subject` together are the alert's identity; `text` may change while it fires."""

    name: str
    subject: str
    severity: str
    text: str

    @property
    def key(self) -> str:
        return f"{self.name}/{self.subject}"


def alerts(seen: Observed, policy: Policy) -> tuple[Alert, ...]:
    """All that is wrong at this moment."""
    return (
        *_jobs(seen),
        *_points(seen, policy),
        *_captures(seen),
        *_replications(seen, policy),
        *_drills(seen),
        *_vault(seen),
    )


def _jobs(seen: Observed) -> Iterable[Alert]:
    for job in seen.jobs:
        subject = f"{job.store} {job.kind}"
        if job.failure:
            yield Alert("BackupFailed", subject, CRITICAL, f"The last {job.kind} backup of {job.store} failed: {job.failure}")
        if job.due and (job.finished is None or job.finished < job.due):
            last = f"the last good one is of {job.finished:%Y-%m-%d %H:%M} UTC" if job.finished else "there is none"
            yield Alert(
                "BackupMissed",
                subject,
                CRITICAL,
                f"The {job.kind} backup of {job.store} due at {job.due:%Y-%m-%d %H:%M} UTC is missing; {last}.",
            )
        if words := anomaly(job.sizes):
            yield Alert("BackupSizeAnomaly", subject, WARNING, f"The last {job.kind} backup of {job.store} {words}; look at what it holds.")


def anomaly(sizes: Sequence[int]) -> str:
    """How the last size differs from those before, in words; empty when it does not, or when there are too few to tell."""
    *before, last = sizes or (0,)
    if len(before) < HISTORY:
        return ""
    middle = statistics.median(before)
    spread = statistics.median(abs(size - middle) for size in before)
    if abs(last - middle) <= max(ANOMALY * spread, ANOMALY_SHARE * middle):
        return ""
    return f"is {last:,} bytes, where {middle:,.0f} are usual"


def _points(seen: Observed, policy: Policy) -> Iterable[Alert]:
    for store in seen.reached:
        cost, target = seen.recovery_point(store), policy.rpo(store)
        if cost is None:
            yield Alert("NoRecoveryPoint", store, CRITICAL, f"{store} cannot be recovered to any moment: take a full backup.")
        elif cost >= target:
            yield Alert(
                "RecoveryPointTooOld",
                store,
                CRITICAL,
                f"A loss of {store} now would cost {cost:,.0f} s, and the policy allows {target:,.0f} s.",
            )


def _captures(seen: Observed) -> Iterable[Alert]:
    for capture in seen.captures:
        if capture.lag is None or capture.problem:
            why = capture.problem or "it does not run"
            yield Alert("CaptureDown", capture.store, CRITICAL, f"The log of {capture.store} is not captured: {why}")
        elif capture.lag > STALLED.total_seconds():
            text = (
                f"The log of {capture.store} is captured only up to {capture.lag:,.0f} s ago; look whether the store and the vault answer."
            )
            yield Alert("CaptureDown", capture.store, CRITICAL, text)


def _replications(seen: Observed, policy: Policy) -> Iterable[Alert]:
    for one in seen.replications:
        if len(one.primaries) > 1:
            where = ", ".join(m.address for m in one.primaries)
            yield Alert(
                "SplitBrain", one.store, CRITICAL, f"{len(one.primaries)} servers of {one.store} accept writes: {where}; fence all but one."
            )
        for member in one.members:
            if member.role is Role.UNREACHABLE:
                yield Alert(
                    "ReplicaDown", member.address, WARNING, f"The {one.store} server {member.address} does not answer; mend or replace it."
                )
            elif member.lag_seconds is not None and member.lag_seconds >= policy.rpo(one.store):
                text = f"The {one.store} server {member.address} is {member.lag_seconds:,.0f} s behind; a failover to it would cost that."
                yield Alert("ReplicaBehind", member.address, CRITICAL, text)


def _drills(seen: Observed) -> Iterable[Alert]:
    for due in seen.drills:
        if due.overdue(seen.at):
            last = f"it last passed on {due.passed:%Y-%m-%d}" if due.passed else "it has never passed"
            yield Alert("DrillOverdue", due.name, WARNING, f"The {due.cadence} drill {due.name} is overdue: {last}; run it.")
    for recovery in seen.recoveries:
        if recovery.verdict == "FAILED":
            measured = "could not be measured" if recovery.upper is None else f"was {recovery.upper:,.1f} s"
            yield Alert(
                "RecoveryObjectiveMissed",
                f"{recovery.name} {recovery.subject}",
                CRITICAL,
                f"In the last drill the {recovery.name.upper()} of {recovery.subject} {measured}, and must be below {recovery.target:,.0f} s.",
            )


def _vault(seen: Observed) -> Iterable[Alert]:
    for problem in seen.damaged:
        yield Alert("BackupDamaged", problem.split(":")[0][:120], CRITICAL, f"A backup is damaged: {problem}")
    if seen.capacity and seen.growth > 0:
        left = timedelta(days=(seen.capacity - seen.stored_bytes) / seen.growth)
        if left < FULL_SOON:
            yield Alert(
                "VaultFull", "vault", WARNING, f"The vault is full in {max(0.0, left.total_seconds() / 86400):.1f} days at its growth now."
            )
    for name, end in seen.expiries.items():
        if end - seen.at < FULL_SOON:
            told = "cannot be read; put it back" if end == UNREADABLE else f"expires on {end:%Y-%m-%d}; renew it"
            yield Alert("KeyExpires", name, CRITICAL if end <= seen.at else WARNING, f"{name[:1].upper()}{name[1:]} {told}.")
