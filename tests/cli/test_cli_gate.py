"""`gate` and `coverage` by the command line: exit codes, files, and what they say without evidence."""

import json
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree

import pytest

from drplatform.engine.audit import AuditLog


@pytest.fixture
def drilled(home):
    """Appends drills to the audit log, one an hour, with these recovery times of Redis."""

    def append(times, target=3600.0):
        start = datetime.now(UTC) - timedelta(hours=len(times))
        for n, seconds in enumerate(times):
            when = (start + timedelta(hours=n)).isoformat()
            record = {
                "id": f"drill-{n}", "verdict": "PASSED", "summary": "", "started": when, "finished": when, "platform": "embedded", "operator": "ops",
                "policy": {"name": "p", "hash": "h"}, "versions": {}, "seconds": 1.0, "checks": [], "losses": [], "backups": [], "phases": {},
                "spans": [], "timeline": [], "doubts": [], "faults": [{"fault": "servers-lost", "affects": ["redis"]}],
                "scenario": {"name": "S", "feature": "F", "cadence": "monthly", "source": "x", "sentences": [
                    {"text": "recovery from backups brings back Redis as of its latest backup", "result": "passed"}]},
                "measurements": [{"name": "rto", "subject": "redis", "target": target, "lower": seconds, "upper": seconds, "verdict": "PASSED", "reason": ""}],
            }  # fmt: skip
            AuditLog(home.state / "audit.jsonl").append(record)

    return append


STEADY = [10, 10.5, 9.8, 10.2, 10.1, 9.9, 10.4, 10.3, 10.0, 10.6]


def test_a_slower_recovery_fails_the_gate(home, drilled):
    drilled([*STEADY, *(1.7 * v for v in STEADY[:5])])
    told = home("gate", "--junit", "gate.xml", "--markdown", "gate.md")
    assert told.code == 1, told.out + told.err
    assert "rto of redis: S on embedded" in told.out and "factor 1.69" in told.out
    failure = ElementTree.parse(home.directory / "gate.xml").find(".//failure")
    assert "factor 1.69" in failure.get("message")
    assert (home.directory / "gate.md").read_text().startswith("## Recovery gate: failed")


def test_without_evidence_the_gate_is_in_doubt(home):
    told = home("gate", "--junit", "gate.xml")
    assert told.code == 2 and "no evidence at all" in told.out
    assert ElementTree.parse(home.directory / "gate.xml").getroot().get("tests") == "0"


def test_a_gate_may_require_what_was_never_tested(home, drilled):
    drilled(STEADY)
    told = home("gate", "--require", "region-failover")
    assert told.code == 2 and "has never run" in told.out
    assert home("gate", "--require", "nothing").code == 2


def test_coverage_names_what_was_tested_and_proposes_the_next_drill(home, drilled):
    drilled(STEADY[:1])
    told = home("coverage", "--top", "3")
    assert told.code == 0, told.err
    assert "1 of " in told.out and "servers-lost of redis, recovered by backups (drill-0)" in told.out and "Next drill: cause" in told.out
    data = json.loads(home("coverage", "--json").out)
    assert data["tested"] == 1 and len(data["cells"]) > 40
    assert {c["store"] for c in data["cells"]} >= {"mongodb", "redis", "files", "backups"}


def test_a_size_that_is_none_is_refused(home):
    told = home("compliance", "report", "--at-size", "mongodb=much")
    assert told.code == 2 and "expected STORE=SIZE such as mongodb=500GiB" in told.err
