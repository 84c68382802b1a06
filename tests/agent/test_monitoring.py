"""Each alert is raised by its cause and over with its cure; what was never seen is alarming, too."""

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest

from drplatform.engine import monitor
from drplatform.engine.backups.catalogue import Listing
from drplatform.environment import load_policy
from drplatform.model import monitoring
from drplatform.model.backup import BackupKind, Manifest
from drplatform.model.compliance import Due
from drplatform.model.monitoring import Capture, Job, Observed, Recovery
from drplatform.model.position import Position
from drplatform.model.replication import Member, Replication, Role

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
POLICY = load_policy(None)
GOOD_JOB = Job("mongodb", "full", NOW - 11 * HOUR, NOW - 10 * HOUR, (100, 101, 99, 100, 102, 100))
GOOD = Observed(
    at=NOW,
    jobs=(GOOD_JOB,),
    captures=(Capture("mongodb", 1.5),),
    reached={"mongodb": NOW - timedelta(seconds=2), "files": NOW - 20 * HOUR},
    recoveries=(Recovery("rto", "mongodb", 8.0, 3600.0, "PASSED", NOW - DAY),),
    drills=(Due("database-recovery", "monthly", NOW - DAY, NOW + 30 * DAY, 1),),
    stored_bytes=1000,
    growth=1.0,
    capacity=10_000,
    replications=(Replication("redis", (Member("a:1", Role.PRIMARY, (2,), 0.0), Member("b:1", Role.SECONDARY, (1,), 1.0))),),
    expiries={"the certificate of redis": NOW + 90 * DAY},
)


def group(*members):
    return Replication("redis", tuple(Member(address, role, (1,), lag) for address, role, lag in members))


def job(**changes):
    return {"jobs": (dataclasses.replace(GOOD_JOB, **changes),)}


BAD = {
    ("BackupFailed", "mongodb full"): job(failure="no primary"),
    ("BackupMissed", "mongodb full"): job(finished=NOW - 30 * HOUR, due=NOW - 13 * HOUR),
    ("BackupMissed", "mongodb full "): job(finished=None, due=NOW - 13 * HOUR),
    ("BackupSizeAnomaly", "mongodb full"): job(sizes=(100, 101, 99, 100, 102, 10)),
    ("BackupSizeAnomaly", "mongodb full "): job(sizes=(100, 101, 99, 100, 102, 1000)),
    ("NoRecoveryPoint", "mongodb"): {"reached": {"mongodb": None}},
    ("RecoveryPointTooOld", "mongodb"): {"reached": {"mongodb": NOW - timedelta(minutes=5)}},
    ("RecoveryPointTooOld", "files"): {"reached": {"files": NOW - 25 * HOUR}},
    ("CaptureDown", "mongodb"): {"captures": (Capture("mongodb", None),)},
    ("CaptureDown", "mongodb "): {"captures": (Capture("mongodb", 1.0, "the log has a gap"),)},
    ("CaptureDown", "mongodb  "): {"captures": (Capture("mongodb", 61.0),)},
    ("SplitBrain", "redis"): {"replications": (group(("a:1", Role.PRIMARY, 0.0), ("b:1", Role.PRIMARY, 0.0)),)},
    ("ReplicaDown", "b:1"): {"replications": (group(("a:1", Role.PRIMARY, 0.0), ("b:1", Role.UNREACHABLE, None)),)},
    ("ReplicaBehind", "b:1"): {"replications": (group(("a:1", Role.PRIMARY, 0.0), ("b:1", Role.SECONDARY, 301.0)),)},
    ("DrillOverdue", "database-recovery"): {"drills": (Due("database-recovery", "monthly", NOW - 40 * DAY, NOW - 9 * DAY, 1),)},
    ("DrillOverdue", "database-recovery "): {"drills": (Due("database-recovery", "monthly", None, None, 0),)},
    ("RecoveryObjectiveMissed", "rto mongodb"): {"recoveries": (Recovery("rto", "mongodb", 4000.0, 3600.0, "FAILED", NOW),)},
    ("BackupDamaged", "20260601-aa"): {"damaged": ("20260601-aa: a chunk is missing",)},
    ("VaultFull", "vault"): {"growth": 1000.0},
    ("KeyExpires", "the certificate of redis "): {"expiries": {"the certificate of redis": monitoring.UNREADABLE}},
    ("KeyExpires", "the certificate of redis"): {"expiries": {"the certificate of redis": NOW + 3 * DAY}},
}


def test_nothing_is_wrong_when_nothing_is():
    assert monitoring.alerts(GOOD, POLICY) == ()


@pytest.mark.parametrize(("name", "subject"), BAD, ids=lambda v: v.strip().replace(" ", "-"))
def test_an_alert_is_raised_by_its_cause_alone_and_says_what_is_wrong(name, subject):
    found = monitoring.alerts(dataclasses.replace(GOOD, **BAD[name, subject]), POLICY)
    assert [(a.name, a.subject) for a in found] == [(name, subject.strip())]
    assert found[0].text.endswith((".", "gap", "missing", "primary", "run"))


def test_a_backup_may_be_late_by_half_its_period_and_by_half_an_hour_at_least():
    assert monitoring.grace(DAY) == DAY / 2
    assert monitoring.grace(timedelta(minutes=10)) == timedelta(minutes=30)


def test_a_missed_backup_stays_missed_while_the_next_one_may_still_be_late():
    """Watched every ten minutes for a day, for a backup due each hour of which none was taken since 12:05."""
    taken = NOW + timedelta(minutes=5)
    end = Position("history", (1,), taken.timestamp())
    listing = Listing((Manifest("one", "redis", "redis", BackupKind.SNAPSHOT, "id", end, end, taken, taken, (), {}, ()),), ())
    policy = dataclasses.replace(POLICY, backups=tuple(r for r in POLICY.backups if (r.store, r.kind) == ("redis", BackupKind.SNAPSHOT)))
    missed = []
    for minutes in range(0, 24 * 60, 10):
        seen = monitor.observe((), listing, (), policy, ("redis",), NOW + timedelta(minutes=minutes), NOW - DAY)
        missed.append("BackupMissed" in [a.name for a in monitoring.alerts(seen, POLICY)])
    begins = missed.index(True)
    assert begins == 9, "due at 13:00, late since 13:30"
    assert all(missed[begins:])


@pytest.mark.parametrize("sizes", [(), (5,), (1, 2, 3, 4), (100, 100, 100, 100, 100, 120), (100, 140, 80, 120, 90, 160)])
def test_sizes_that_vary_as_usual_or_are_too_few_are_no_anomaly(sizes):
    assert monitoring.anomaly(sizes) == ""
