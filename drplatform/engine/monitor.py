"""Observes: what the audit log, the catalogue of backups and the running captures say at one moment, as `model.monitoring` wants it."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from cronsim import CronSim

from drplatform.engine.backups.catalogue import Listing
from drplatform.model import compliance, errors, retention
from drplatform.model.backup import BASES, BackupKind, Manifest
from drplatform.model.monitoring import Capture, Job, Observed, Recovery, grace
from drplatform.model.policy import CONTINUOUS, BackupRule, Policy
from drplatform.model.replication import Replication

Record = Mapping[str, Any]
SIZES = 30
"""So many backups of a rule are compared by size."""
GROWTH_OVER = timedelta(days=7)


def observe(
    records: Iterable[Record],
    listing: Listing,
    captures: Sequence[Capture],
    policy: Policy,
    stores: Iterable[str],
    now: datetime,
    began: datetime,
    capacity: int | None = None,
    replications: Sequence[Replication] = (),
    expiries: Mapping[str, datetime] = {},
) -> Observed:
    """`stores`: those that are watched; `began`: what was due before nobody watched."""
    log, watched = list(records), tuple(stores)
    rules = [rule for rule in policy.backups if rule.store in watched and rule.schedule != CONTINUOUS]
    return Observed(
        at=now,
        jobs=tuple(_job(rule, listing.manifests, log, now, began) for rule in rules),
        captures=tuple(captures),
        reached={store: _reached(listing.manifests, store) for store in watched},
        recoveries=tuple(_recoveries(log)),
        drills=compliance.calendar(policy, log),
        damaged=(*listing.problems, *_failed_checks(log)),
        stored_bytes=sum(m.stored_bytes for m in listing.manifests),
        growth=_growth(listing.manifests, now),
        capacity=capacity,
        replications=tuple(replications),
        expiries=expiries,
    )


def last_due(schedule: str, now: datetime) -> datetime:
    """The last moment at or before `now` that the five cron fields (UTC) name. Source: crontab(5)."""
    found: datetime = next(CronSim(schedule, now + timedelta(seconds=60), reverse=True))
    while found > now:
        found = next(CronSim(schedule, found, reverse=True))
    return found


def next_due(schedule: str, now: datetime) -> datetime:
    """The next moment after `now`."""
    found: datetime = next(CronSim(schedule, now))
    return found


def _job(rule: BackupRule, manifests: Sequence[Manifest], log: Sequence[Record], now: datetime, began: datetime) -> Job:
    own = [m for m in manifests if m.store == rule.store and m.kind is rule.kind]
    newest = last_due(rule.schedule, now)
    due = last_due(rule.schedule, now - grace(next_due(rule.schedule, newest) - newest))
    return Job(
        rule.store,
        rule.kind.value,
        due if due >= began else None,
        max((m.finished for m in own), default=None),
        tuple(m.stored_bytes for m in own[-SIZES:]),
        _failure(rule, log),
    )


def _failure(rule: BackupRule, log: Sequence[Record]) -> str:
    """What the last attempt that ended failed with; empty when it was good."""
    for record in reversed(log):
        if record.get("store") == rule.store and record.get("backup_kind") == rule.kind.value:
            if record.get("kind") == "backup failed":
                return str(record.get("error", "it does not say why"))
            if record.get("kind") == "backup done":
                return ""
    return ""


def _reached(manifests: Sequence[Manifest], store: str) -> datetime | None:
    """A base is recoverable as of its end although the history it is of may have begun anew since."""
    reaches = retention.reachable(manifests, store)
    return max((r.until for r in reaches), default=None)


def _recoveries(log: Sequence[Record]) -> Iterable[Recovery]:
    newest: dict[tuple[str, str], Recovery] = {}
    for record in log:
        if "verdict" in record and "measurements" in record:
            at = compliance.finished(record)
            for m in record["measurements"]:
                newest[m["name"], m["subject"]] = Recovery(m["name"], m["subject"], m["upper"], float(m["target"]), m["verdict"], at)
    return newest.values()


def _failed_checks(log: Sequence[Record]) -> Iterable[str]:
    """What the last verification of backups found."""
    last = next((r for r in reversed(log) if r.get("kind") == "verification done"), None)
    return tuple(map(str, last.get("problems", ()))) if last else ()


def _growth(manifests: Sequence[Manifest], now: datetime) -> float:
    """Bytes a day that came in the last week, or since the first backup."""
    recent = [m for m in manifests if m.finished > now - GROWTH_OVER]
    if not recent:
        return 0.0
    days = max(1.0, (now - min(m.finished for m in recent)).total_seconds() / 86400)
    return sum(m.stored_bytes for m in recent) / days


def base_kind(policy: Policy, store: str) -> BackupKind:
    """What the policy restores the store from. Raises SettingsError."""
    found = [rule.kind for rule in policy.backups if rule.store == store and rule.kind in BASES]
    if not found:
        raise errors.SettingsError(f"The policy has no full backup or snapshot of {store!r}; add one to its backups.")
    return found[0]
