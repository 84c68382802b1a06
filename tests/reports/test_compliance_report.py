"""The compliance page and the gate: what they say is what the assessment holds."""

import dataclasses
import json
from datetime import UTC, datetime, timedelta

import pytest

from drplatform.model import gate, history
from drplatform.model.compliance import Assessment, Basis, Clause, Due, Finding, Status
from drplatform.reports import compliance

NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)


def clause(name, *controls):
    return Clause(name, "Section & <b>", f"Promise {name} <script>", controls or ("SOC 2 A1.2",))


PROVEN = Finding(clause("one", "SOC 2 A1.2"), Status.PROVEN, ("drill-1", "drill-0"), NOW + timedelta(days=3))
STALE = Finding(clause("two", "NIST CP-9"), Status.STALE, ("drill-0",), NOW, "the policy has changed")
NEVER = Finding(clause("three", "SOC 2 A1.2"), Status.NEVER_TESTED, reason="no drill has tested it")
FAILED = Finding(clause("four", "NIST CP-9"), Status.FAILED, ("drill-2",), NOW, "drill drill-2: lost")
IN_TIME = Due("monthly-drill", "monthly", NOW, NOW + timedelta(days=31), 2)
OVERDUE = Due("old-drill", "quarterly", NOW - timedelta(days=99), NOW - timedelta(days=7), 1)
NEW = Due("new-drill", "biannual", None, None, 0)


def assessment(*findings, calendar=(IN_TIME,), unfinished=()):
    return Assessment(NOW, findings, tuple(calendar), unfinished)


def test_the_page_shows_every_clause_with_its_status_and_nothing_unescaped():
    page = compliance.page(assessment(PROVEN, STALE, NEVER, FAILED, calendar=(IN_TIME, OVERDUE, NEW), unfinished=("drill-9",)))
    assert "<script>" not in page and "Section &amp; &lt;b&gt;" in page
    for text in ("Promise one", "Promise four", "drill-2", "the policy has changed", "never tested", "drill-9", "overdue", "and 1 more"):
        assert text in page


def test_the_page_says_what_proves_a_clause_and_what_it_stands_on():
    basis = Basis("migratio", "a" * 64, 7, "b" * 64, 3, ("embedded",), NOW, NOW)
    untested = dataclasses.replace(NEVER, clause=dataclasses.replace(NEVER.clause, how="drplatform gameday"))
    page = compliance.page(dataclasses.replace(assessment(PROVEN, untested), basis=basis))
    for text in (
        "to prove it: <code>drplatform gameday",
        "not all tested",
        "1 of 2 clauses proven",
        "b" * 64,
        "3 drills on embedded",
        "all on one machine",
    ):
        assert text in page


def test_the_page_needs_nothing_from_elsewhere(tmp_path):
    written = compliance.write(assessment(PROVEN), tmp_path)
    page = written["html"].read_text()
    assert "http://" not in page and "https://" not in page and "src=" not in page
    assert json.loads(written["json"].read_text())["clauses"][0]["status"] == "proven"


def test_the_data_holds_controls_and_calendar():
    found = compliance.document(assessment(PROVEN, STALE, NEVER, FAILED, calendar=(OVERDUE,)))
    assert found["controls"]["NIST CP-9"] == {"status": "failed", "proven": 0, "clauses": ["two", "four"]}
    assert found["controls"]["SOC 2 A1.2"] == {"status": "never tested", "proven": 1, "clauses": ["one", "three"]}
    assert found["calendar"][0]["overdue"] is True


@pytest.mark.parametrize(
    ("found", "required", "code"),
    [
        (assessment(PROVEN), (), 0),
        (assessment(PROVEN, NEVER), (), 0),
        (assessment(PROVEN, NEVER), ("three",), 2),
        (assessment(PROVEN, STALE), (), 2),
        (assessment(PROVEN, STALE, FAILED), (), 1),
        (assessment(PROVEN, calendar=(OVERDUE,)), (), 2),
        (assessment(PROVEN, calendar=(NEW,)), (), 0),
        (assessment(PROVEN, calendar=(NEW,)), ("new-drill",), 2),
        (assessment(NEVER, calendar=()), (), 2),
        (assessment(calendar=()), (), 2),
    ],
)
def test_the_gate_holds_what_was_proven(found, required, code):
    assert gate.exit_code([*gate.clauses(found), *gate.drills(found), *gate.required(found, required)]) == code


def test_the_gate_refuses_to_require_what_there_is_not():
    with pytest.raises(KeyError, match="nothing"):
        list(gate.required(assessment(PROVEN), ("nothing",)))


def test_trends_and_projections_are_in_page_pdf_and_data(tmp_path):
    past = [
        history.Point(f"drill-{n}", NOW, "S & <x>", "embedded", "h", "PASSED", of, "mongodb", value, value)
        for n in range(6)
        for of, value in ((history.RTO, 5.0 + n), (history.SIZE, 1e6 * 2**n), (history.PHASE, 3.0))
    ]
    written = compliance.write(assessment(PROVEN), tmp_path, past, {"mongodb": 1e10, "redis": 5e9})
    page, data = written["html"].read_text(), json.loads(written["json"].read_text())
    assert "Trend: S &amp; &lt;x&gt;" in page and page.count("<polyline") == 2 and page.count("<rect") >= 6
    assert "estimate" in page.lower() and "cannot be said: 0 runs are too few" in page
    assert data["projections"][0]["kind"] == "estimate" and "too few" in data["projections"][1]["unknown"]
    assert len(data["measurements"]) == 18
    assert written["pdf"].stat().st_size > compliance.write(assessment(PROVEN), tmp_path / "without")["pdf"].stat().st_size


def test_statuses_are_in_order_of_concern():
    worst = assessment(*(dataclasses.replace(PROVEN, status=s) for s in Status)).control("SOC 2 A1.2")
    assert worst is Status.FAILED
