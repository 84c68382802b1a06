"""What evidence says of a strategy: only what was shown, only while it is fresh."""

import copy
from datetime import datetime, timedelta

import pytest

from drplatform import environment
from drplatform.model import compliance, deficiency, oversight, strategy
from drplatform.model.compliance import Status

NOW = datetime.fromisoformat("2026-06-15T12:00:00+00:00")
POLICY = environment.load_policy(None)


def check(name):
    return {"name": name, "verdict": "PASSED", "control": "caught", "finding": ""}


def measured(name, subject):
    return {"name": name, "subject": subject, "verdict": "PASSED", "target": 300.0, "lower": 0.0, "upper": 1.0, "reason": ""}


def record(days_ago=1, **changes):
    """The evidence of a monthly drill that brought MongoDB back to before a drop, and Redis from a snapshot."""
    made = {
        "id": f"drill-{days_ago}",
        "verdict": "PASSED",
        "summary": "All well.",
        "finished": (NOW - timedelta(days=days_ago)).isoformat(),
        "platform": "embedded",
        "policy": {"name": POLICY.name, "hash": POLICY.hash},
        "versions": {"mongodb": "mongod 6.0.5", "redis": "valkey 8.1.8"},
        "scenario": {
            "name": "S",
            "cadence": "monthly",
            "source": "features/monthly/database_recovery.feature",
            "sentences": [{"text": "recovery brings back MongoDB as it was just before the drop", "result": "passed"}],
        },
        "backups": [{"store": "mongodb", "kind": "full"}, {"store": "mongodb", "kind": "log"}, {"store": "redis", "kind": "snapshot"}],
        "checks": [check("the backups that mongodb was recovered from are whole"), check("mongodb answers at the end"),
                   check("the backups that redis was recovered from are whole"), check("redis has its reference data unchanged")],
        "measurements": [measured("rto", "mongodb"), measured("rto", "redis"), measured("rpo", "mongodb"), measured("rpo", "redis"), measured("rpo", "files")],
        "faults": [{"fault": "servers-lost", "affects": ["mongodb", "redis"]}],
        "spans": [{"step": "Restore mongodb"}],
        "hash": "1", "previous": "0",
    }  # fmt: skip
    made.update(changes)
    return made


def status(clause, *records, now=NOW, policy=POLICY):
    return finding(clause, *records, now=now, policy=policy).status


def finding(clause, *records, now=NOW, policy=POLICY):
    found = compliance.assess(strategy.CLAUSES, records, policy, now)
    return next(f for f in found.findings if f.clause.id == clause)


def test_without_evidence_nothing_is_proven():
    found = compliance.assess(strategy.CLAUSES, [], POLICY, NOW)
    assert {f.status for f in found.findings} == {Status.NEVER_TESTED}
    assert {found.control(c) for c in found.controls} == {Status.NEVER_TESTED}
    assert all(due.overdue(NOW) for due in found.calendar)
    assert len(found.findings) > 35


def test_a_passed_drill_proves_what_it_showed_and_no_more():
    proven = {f.clause.id for f in compliance.assess(strategy.CLAUSES, [record()], POLICY, NOW).findings if f.status is Status.PROVEN}
    assert proven == {
        "mongodb-full", "mongodb-oplog", "redis-rdb", "rto-critical", "rpo-database", "recover-redis", "verify-data",
        "verify-answers", "monthly", "encryption", "audit",
    }  # fmt: skip


def test_what_no_disaster_has_touched_is_not_proven_by_it():
    assert status("rpo-files", record()) is Status.NEVER_TESTED
    assert status("rpo-files", record(faults=[{"fault": "region-killed", "affects": ["files"]}])) is Status.PROVEN


def test_a_clause_of_several_parts_needs_all_of_them():
    assert status("recover-mongodb", record()) is Status.NEVER_TESTED
    backups = [*record()["backups"], {"store": "mongodb", "kind": "incremental"}]
    assert status("recover-mongodb", record(backups=backups)) is Status.PROVEN


@pytest.mark.parametrize(
    ("clause", "place", "value"),
    [
        ("rto-critical", ("measurements", 0, "verdict"), "FAILED"),
        ("rpo-database", ("measurements", 2, "verdict"), "INCONCLUSIVE"),
        ("mongodb-full", ("checks", 0, "verdict"), "FAILED"),
        ("mongodb-oplog", ("checks", 1, "verdict"), "FAILED"),
        ("verify-answers", ("checks", 1, "control"), "missed"),
        ("redis-rdb", ("checks", 3, "control"), "missed"),
    ],
)
def test_one_planted_defect_turns_its_clause_red(clause, place, value):
    """Even where the verdict of the record says otherwise."""
    sound = record()
    assert status(clause, sound) is Status.PROVEN
    bad = copy.deepcopy(sound)
    bad[place[0]][place[1]][place[2]] = value
    assert status(clause, bad) is Status.FAILED


def test_the_newest_decisive_evidence_counts():
    old, failed = record(5), record(1, verdict="FAILED")
    assert status("mongodb-full", old, failed) is Status.FAILED
    assert status("mongodb-full", failed, old) is Status.FAILED, "in any order"
    assert status("mongodb-full", record(5, verdict="FAILED"), record(1)) is Status.PROVEN


def test_an_inconclusive_attempt_proves_nothing_and_takes_nothing_away():
    doubtful = record(1, verdict="INCONCLUSIVE")
    assert status("mongodb-full", doubtful) is Status.NEVER_TESTED
    assert "did not pass as a whole" in finding("mongodb-full", doubtful).reason
    found = finding("mongodb-full", doubtful, record(3))
    assert found.status is Status.PROVEN
    assert found.evidence == ("drill-1", "drill-3")


def test_evidence_grows_stale_with_its_cadence():
    assert status("mongodb-full", record(30)) is Status.PROVEN
    assert status("mongodb-full", record(32)) is Status.STALE
    assert finding("mongodb-full", record(30)).expires == NOW + timedelta(days=1)
    quarterly = record(80)
    quarterly["scenario"] = {**quarterly["scenario"], "cadence": "quarterly"}
    assert status("mongodb-full", quarterly) is Status.PROVEN
    on_demand = record(32)
    on_demand["scenario"] = {**on_demand["scenario"], "cadence": "on demand"}
    assert status("mongodb-full", on_demand) is Status.STALE


def test_evidence_grows_stale_when_what_it_proved_has_changed():
    assert status("mongodb-full", record(policy={"name": "migratio", "hash": "other"})) is Status.STALE
    upgraded = record(1, id="newer", backups=[], checks=[], versions={"mongodb": "mongod 7.0.1"})
    assert status("mongodb-full", record(5), upgraded) is Status.STALE
    assert "7.0.1" in finding("mongodb-full", record(5), upgraded).reason
    elsewhere = {**upgraded, "platform": "kubernetes"}
    assert status("mongodb-full", record(5), elsewhere) is Status.PROVEN, "another platform runs other servers"


def test_a_control_stands_as_its_worst_clause_does():
    found = compliance.assess(strategy.CLAUSES, [record(1, verdict="FAILED")], POLICY, NOW)
    assert found.control("ISO 27001 A.8.13") is Status.FAILED
    assert found.control("ISO 27001 A.8.14") is Status.NEVER_TESTED
    assert {"SOC 2 A1.2", "SOC 2 A1.3", "ISO 22301 8.5", "NIST CP-4", "NIST CP-9", "NIST CP-10"} <= set(found.controls)


def test_the_calendar_asks_for_every_scenario_of_a_drill():
    def due(*records):
        return compliance.assess(strategy.CLAUSES, records, POLICY, NOW).calendar[0]

    assert due(record(10)).due == NOW + timedelta(days=21)
    assert not due(record(10)).overdue(NOW) and due(record(32)).overdue(NOW)
    other = record(5, verdict="FAILED", scenario={**record()["scenario"], "name": "another scenario"})
    assert due(record(10), other).overdue(NOW)
    assert due(record(10), other).attempts == 2
    assert due(record(10, scenario={**record()["scenario"], "source": "features/other.feature"})).passed is None


def test_records_that_are_no_evidence_are_passed_over():
    assert status("audit", {"kind": "backup", "hash": "1"}) is Status.NEVER_TESTED


# -- what other drills show -------------------------------------------------------------------------------------------------------


def drill(*sentences, checks=(), spans=(), **changes):
    told = [{"text": s, "result": "passed"} for s in sentences]
    return record(
        scenario={**record()["scenario"], "sentences": told}, checks=[check(name) for name in checks], spans=list(spans), **changes
    )


SERVICE = "the service api is healthy and reaches what it depends on"


@pytest.mark.parametrize(
    ("clause", "made"),
    [
        ("mongodb-retention", drill(checks=["mongodb keeps its backups for as long as the policy says"])),
        ("configuration-retention", drill(checks=["configuration keeps its backups for as long as the policy says"])),
        ("redis-aof", drill("the server of Redis in the primary region is started again")),
        ("dns", drill("the platform fails over to the secondary region", checks=["redis answers at the end"], spans=[{"step": "Point the name of redis to the secondary region"}])),
        ("promote", drill("the platform fails over to the secondary region", checks=["mongodb has exactly one server that accepts writes"], spans=[{"step": "Promote mongodb in the secondary region"}])),
        ("replicas", drill("file storage is replicated to the secondary region", "the platform fails over to the secondary region")),
        ("recover-services", drill("the services are brought up in order", checks=[SERVICE])),
        ("verify-services", drill(checks=[SERVICE])),
        ("verify-end-to-end", drill(checks=["an upload becomes a PDF"])),
        ("activate", drill("the platform fails over to the secondary region", checks=[SERVICE], spans=[{"step": "Stop the services of the primary region"}, {"step": "Start the service api"}])),
        ("rto-other", drill(spans=[{"step": "Start the service reporting", "begin": 8.0, "end": 9.0}], faults=[{"fault": "x", "affects": [], "began": 2.0}])),
        ("verify-manually", drill(timeline=[{"name": "gameday.signed", "detail": {"role": "verified", "who": "Ada"}}])),
        ("standby", drill("the services are deployed", "the platform fails over to the secondary region", checks=[SERVICE], spans=[{"step": "Start the service api"}])),
        ("runbooks", drill(spans=[{"step": step} for step in ("Restore mongodb", "Restore redis", "Restore files", "Start the service api")])),
        ("training", record(scenario={**record()["scenario"], "tags": ["gameday"]})),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_drills_of_other_kinds_prove_their_own_clauses(clause, made):
    assert status(clause, made) is Status.PROVEN
    assert status(clause, record()) is Status.NEVER_TESTED, "and a drill without it does not"
    assert status(clause, {**made, "verdict": "FAILED"}) is Status.FAILED


def test_a_late_service_and_a_lossy_restart_are_red():
    late = drill(
        spans=[{"step": "Start the service reporting", "begin": 8.0, "end": 20_000.0}], faults=[{"fault": "x", "affects": [], "began": 2.0}]
    )
    assert status("rto-other", late) is Status.FAILED
    lossy = drill("the server of Redis in the primary region is started again", measurements=[{**measured("rpo", "redis"), "upper": 5.0}])
    assert status("redis-aof", lossy) is Status.FAILED


def test_what_people_did_about_a_drill_belongs_to_it():
    assert status("verify-manually", record(), {"kind": strategy.SIGN_OFF, "drill": "drill-1"}) is Status.PROVEN
    assert status("verify-manually", record(), {"kind": strategy.SIGN_OFF, "drill": "other"}) is Status.NEVER_TESTED


# -- what people keep -------------------------------------------------------------------------------------------------------------

REVIEWS = ("compliance-reviews", "improve-drills", "improve-changes", "improve-objectives")


def said(kind, days_ago=1, **detail):
    when = (NOW - timedelta(days=days_ago)).isoformat()
    return {"kind": kind, "when": when, "signed_by": "Ada", "statement": "as it should be", **detail}


def reviewed(days_ago=1, **detail):
    return said(oversight.COMPLIANCE, days_ago, **{"policy": POLICY.hash, **detail})


@pytest.mark.parametrize("clause", REVIEWS)
def test_reviews_are_proven_by_who_signed_them_for_a_quarter(clause):
    assert status(clause, record()) is Status.NEVER_TESTED, "drills are no reviews"
    assert status(clause, reviewed(signed_by="")) is Status.NEVER_TESTED
    found = finding(clause, reviewed(91))
    assert found.status is Status.PROVEN and "Ada" in found.reason and found.expires == NOW + timedelta(days=1)
    assert status(clause, reviewed(93)) is Status.STALE
    assert status(clause, reviewed(93), reviewed(1)) is Status.PROVEN


def test_a_review_is_one_of_the_policy_of_its_day():
    of_another = reviewed(policy="other")
    assert status("improve-changes", of_another) is Status.STALE
    assert status("improve-objectives", of_another) is Status.PROVEN


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ([record(40, verdict="FAILED")], Status.FAILED),
        ([record(20, verdict="FAILED")], Status.PROVEN),
        ([record(40, verdict="FAILED"), record(5)], Status.PROVEN),
        (
            [record(40, verdict="FAILED"), said(deficiency.ACTION, 39, drill="drill-40", text="t", owner="o", due="2026-07-01")],
            Status.PROVEN,
        ),
        (
            [record(20, verdict="FAILED"), said(deficiency.ACTION, 19, drill="drill-20", text="t", owner="o", due="2026-06-14")],
            Status.FAILED,
        ),
    ],
    ids=["nothing planned", "time to plan", "retested", "planned", "overdue"],
)
def test_improvement_fails_by_what_nobody_does_about_a_failed_drill(records, expected):
    assert status("improve-drills", *records, reviewed()) is expected


def test_every_drill_that_failed_is_reviewed_in_time():
    of_it, of_another = (said(oversight.POST_INCIDENT, drill=f"drill-{n}") for n in (40, 5))
    failed = record(40, verdict="FAILED")
    assert status("reviews", record()) is Status.NEVER_TESTED
    assert status("reviews", failed) is Status.FAILED
    assert status("reviews", failed, of_another) is Status.FAILED
    assert status("reviews", failed, of_it) is Status.PROVEN
    assert status("reviews", record(20, verdict="FAILED"), of_another) is Status.PROVEN, "there is time yet"
    assert status("reviews", said(oversight.POST_INCIDENT, 185, drill="drill-5")) is Status.STALE


def test_every_clause_says_what_proves_it():
    assert all(clause.how for clause in strategy.CLAUSES)
    assert len({clause.id for clause in strategy.CLAUSES}) == len(strategy.CLAUSES)


def test_an_assessment_says_what_it_stands_on():
    basis = compliance.assess(strategy.CLAUSES, [record(5), record(1, hash="7"), reviewed(hash="8")], POLICY, NOW).basis
    assert (basis.policy_hash, basis.records, basis.head, basis.drills, basis.platforms) == (POLICY.hash, 3, "8", 2, ("embedded",))
    assert basis.first == NOW - timedelta(days=5) and basis.last == NOW - timedelta(days=1)


def test_a_control_of_which_some_clauses_are_proven_is_told_apart():
    found = compliance.assess(strategy.CLAUSES, [record()], POLICY, NOW)
    assert found.control("NIST CP-9") is Status.NEVER_TESTED and found.standing("NIST CP-9") == "not all tested"
    assert 0 < found.proven("NIST CP-9") < len(found.of("NIST CP-9"))
    assert compliance.assess(strategy.CLAUSES, [], POLICY, NOW).standing("NIST CP-9") == "never tested"


@pytest.mark.parametrize(
    ("place", "red"),
    [
        (("measurements", 0), {"rto-critical"}),
        (("measurements", 1), {"rto-critical"}),
        (("measurements", 3), {"rpo-database"}),
        (("checks", 3), {"redis-rdb", "recover-redis", "verify-data"}),
    ],
)
def test_what_is_planted_turns_exactly_its_clauses_red(place, red):
    """A target too tight, or one wrong check, in a drill that fails by it: nothing else is red, and what was proven before still is."""
    bad = copy.deepcopy(record(1, verdict="FAILED"))
    bad[place[0]][place[1]]["verdict"] = "FAILED"
    found = compliance.assess(strategy.CLAUSES, [record(5), bad], POLICY, NOW).findings
    assert {f.clause.id for f in found if f.status is Status.FAILED} == red
    proven = {f.clause.id for f in compliance.assess(strategy.CLAUSES, [record(5)], POLICY, NOW).findings if f.status is Status.PROVEN}
    assert {f.clause.id for f in found if f.status is Status.PROVEN} == proven - red
    alone = compliance.assess(strategy.CLAUSES, [bad], POLICY, NOW).findings
    assert not [f for f in alone if f.status is Status.PROVEN], "a drill that failed proves nothing"
