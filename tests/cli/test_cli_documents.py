"""`runbook render` and `review` by the command line, and actions against drills that failed."""

import json

import pytest

from drplatform.engine.audit import AuditLog


@pytest.fixture
def failed(home):
    """A drill that failed, in the audit log."""
    record = {
        "id": "drill-1", "verdict": "FAILED", "summary": "too late", "started": "2026-06-01T12:00:00+00:00", "finished": "2026-06-01T12:01:00+00:00",
        "platform": "embedded", "operator": "ops", "policy": {"name": "p", "hash": "h"}, "versions": {}, "seconds": 60.0,
        "scenario": {"name": "S", "feature": "F", "cadence": "monthly", "source": "features/monthly/x.feature", "sentences": []},
        "measurements": [], "checks": [], "losses": [], "faults": [], "backups": [], "phases": {}, "spans": [], "timeline": [], "doubts": [],
    }  # fmt: skip
    AuditLog(home.state / "audit.jsonl").append(record)
    return record


def test_runbooks_are_rendered_for_all_or_for_some(home):
    told = home("runbook", "render")
    assert told.code == 0, told.err
    names = {p.name for p in (home.directory / "reports" / "runbooks").iterdir()}
    stores, others = ("mongodb", "redis", "files", "configuration"), ("services", "cluster", "failover", "switchover", "rejoin")
    assert names == {f"{component}.{form}" for component in (*stores, *others) for form in ("md", "html")}
    assert home("runbook", "render", "redis", "--into", "here").code == 0
    assert {p.name for p in (home.directory / "here").iterdir()} == {"redis.md", "redis.html"}


def test_a_runbook_of_nothing_is_refused(home):
    told = home("runbook", "render", "postgres")
    assert told.code == 2 and "There is no runbook of 'postgres'; there are: mongodb" in told.err
    assert not (home.directory / "reports").exists()


def test_a_review_is_written_and_noted(home, failed):
    told = home("review")
    assert told.code == 0, told.err
    assert "too late" in (home.directory / "reports/reviews/review-drill-1.md").read_text()
    assert "A draft" in told.out and not held(home), "a document is no review"
    assert home("review", "--held-by", "Grace").code == 2, "and who held it says what was concluded"
    assert home("review", "--held-by", "Grace", "--concluded", "more connections").code == 0
    assert [(r["drill"], r["signed_by"], r["statement"]) for r in held(home)] == [("drill-1", "Grace", "more connections")]


def held(home, kind="post-incident review"):
    return [r for r in AuditLog(home.state / "audit.jsonl").read() if r.get("kind") == kind]


def test_a_compliance_review_shows_what_it_is_about_and_is_signed(home, failed):
    told = home("compliance", "review")
    assert told.code == 0 and "target below 5 min" in told.out and "failed: no action planned" in told.out
    assert not held(home, "compliance review"), "to look is not to sign"
    assert home("compliance", "review", "--who", "Grace").code == 2
    assert home("compliance", "review", "--who", "Grace", "--statement", "targets stay").code == 0
    (record,) = held(home, "compliance review")
    assert record["signed_by"] == "Grace" and record["clauses"]["proven"] == 0 and len(record["policy"]) == 64


def test_a_review_of_an_unknown_drill_says_what_to_do(home):
    told = home("review", "nothing")
    assert told.code == 2 and "No drill 'nothing' is in the audit log" in told.err


def test_only_a_drill_that_passed_is_signed_off(home, failed):
    told = home("compliance", "sign-off", "--who", "Grace", "--statement", "all well")
    assert told.code == 2 and "cannot be signed off" in told.err
    AuditLog(home.state / "audit.jsonl").append({**failed, "id": "drill-2", "verdict": "PASSED", "finished": "2026-06-02T12:00:00+00:00"})
    assert home("compliance", "sign-off", "--who", "Grace", "--statement", "all well").code == 0
    assert home("compliance", "report").code == 0
    found = {c["id"]: c["evidence"] for c in json.loads((home.directory / "reports/compliance.json").read_text())["clauses"]}
    assert found["verify-manually"] == ["drill-2"]


@pytest.mark.parametrize("form", ["html", "pdf", "json", "oscal.json"])
def test_a_byte_changed_in_a_report_is_found(home, form):
    assert home("compliance", "verify").code == 2
    assert home("compliance", "report").code == 0
    assert home("compliance", "verify").code == 0
    file = home.directory / "reports" / f"compliance.{form}"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    told = home("compliance", "verify")
    assert told.code == 1 and f"compliance.{form} is not as it was written" in told.err


def test_an_action_belongs_to_a_drill_that_failed(home, failed):
    assert home("compliance", "action", "other", "mend", "--owner", "me", "--due", "2026-12-31").code == 2
    told = home("compliance", "action", "drill-1", "mend it", "--owner", "me", "--due", "2026-12-31")
    assert told.code == 0, told.err
    assert home("compliance", "report").code == 0
    (found,) = json.loads((home.directory / "reports/compliance.json").read_text())["deficiencies"]
    assert found["state"] == "action planned" and found["actions"][0]["text"] == "mend it"
