"""Deficiency -> action -> retest: only a drill that passes closes what a drill has found."""

from datetime import UTC, date, datetime, timedelta

import pytest

from drplatform.model import deficiency

NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)


def drill(name, days_ago, verdict="FAILED", **changes):
    made = {"id": name, "verdict": verdict, "finished": (NOW - timedelta(days=days_ago)).isoformat(), "platform": "embedded",
            "summary": "too late", "scenario": {"name": "S"}, "policy": {"hash": "today"}}  # fmt: skip
    return {**made, **changes}


def action(name, due="2026-07-01"):
    return {"kind": deficiency.ACTION, "drill": name, "text": "mend", "owner": "ops", "due": due, "when": NOW.isoformat()}


def only(*records):
    (found,) = deficiency.deficiencies(records, "today")
    return found


def test_a_failed_drill_is_open_until_the_same_scenario_passes():
    assert only(drill("a", 5)).state(NOW.date()) == "no action planned"
    closed = only(drill("a", 5), drill("b", 2, "PASSED"))
    assert closed.retest == "b" and closed.state(NOW.date()) == "closed by retest"


@pytest.mark.parametrize(
    "retest",
    [
        drill("b", 9, "PASSED"),
        drill("b", 2, "INCONCLUSIVE"),
        drill("b", 2, "PASSED", scenario={"name": "another"}),
        drill("b", 2, "PASSED", platform="kubernetes"),
        drill("b", 2, "PASSED", policy={"hash": "looser"}),
    ],
    ids=["before", "inconclusive", "another scenario", "another platform", "another policy"],
)
def test_nothing_else_closes_it(retest):
    assert not only(drill("a", 5), retest).closed


def test_actions_belong_to_their_drill_and_grow_overdue():
    found = only(drill("a", 5), action("a"), action("x"))
    assert [a.text for a in found.actions] == ["mend"] and found.state(NOW.date()) == "action planned"
    assert found.state(date(2026, 7, 2)) == "action overdue"
    assert only(drill("a", 5), action("a", "2026-06-01"), drill("b", 1, "PASSED")).state(NOW.date()) == "closed by retest"


def test_each_failure_is_one_deficiency_newest_first():
    found = deficiency.deficiencies([drill("a", 5), drill("c", 1), drill("b", 3, "PASSED")], "today")
    assert [(d.drill, d.retest) for d in found] == [("c", ""), ("a", "b")]
