"""The coverage of disasters: what a drill has tested, what it has not, and what is worth testing next."""

from datetime import UTC, datetime, timedelta

import pytest

from drplatform import environment
from drplatform.model import coverage
from drplatform.model.coverage import Cell

NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)
POLICY = environment.load_policy(None)
FAULTS = {"servers-lost": ("mongodb", "redis", "files"), "collection-dropped": ("mongodb",), "backup-deleted": ("backups",)}
MIXED = "recovery from backups brings back MongoDB as it was just before the drop and Redis as of its latest backup"


def record(days_ago=1, verdict="PASSED", sentence=MIXED, result="passed", faults=(("servers-lost", ("mongodb", "redis")),)):
    return {
        "id": f"drill-{days_ago}", "verdict": verdict, "finished": (NOW - timedelta(days=days_ago)).isoformat(),
        "scenario": {"sentences": [{"text": sentence, "result": result}]}, "faults": [{"fault": f, "affects": list(a)} for f, a in faults],
    }  # fmt: skip


def matrix(*records):
    return coverage.matrix(FAULTS, records, POLICY, NOW)


@pytest.mark.parametrize(
    ("sentence", "store", "way"),
    [
        (MIXED, "mongodb", "point in time"),
        (MIXED, "redis", "backups"),
        (
            "recovery from backups brings back file storage as of one moment, MongoDB as of one moment and Redis as of one moment",
            "redis",
            "one moment",
        ),
        ("the platform fails over to the secondary region", "files", "failover"),
        ("the servers of Redis in the primary region are started again", "redis", "restart"),
    ],
)
def test_how_a_store_was_recovered_is_read_from_the_sentence_that_names_it(sentence, store, way):
    assert coverage.cells_of(record(sentence=sentence, faults=(("x", (store,)),))) == [Cell("x", store, way)]


def test_a_cell_is_tested_by_a_drill_that_passed_and_is_fresh():
    cell = Cell("servers-lost", "redis", "backups")
    assert matrix(record()).seen[cell].fresh(NOW) and matrix(record()).tested == 2
    assert cell not in {g.cell for g in matrix(record()).gaps}
    assert matrix(record(93)).fallen and "too old" in {g.cell: g for g in matrix(record(93)).gaps}[cell].why
    assert "failed" in {g.cell: g for g in matrix(record(3), record(1, "FAILED")).gaps}[cell].why
    assert matrix(record(3), record(1, "INCONCLUSIVE")).tested == 2, "an inconclusive attempt takes nothing away"
    assert cell not in matrix(record(result="failed: late")).seen


def test_gaps_are_ranked_by_risk():
    gaps = matrix().gaps
    assert [g.risk for g in gaps] == sorted((g.risk for g in gaps), reverse=True)
    assert gaps[0].cell.fault == "collection-dropped" and gaps[0].risk == 9
    assert gaps[-1].risk < gaps[0].risk and all(g.why == "never tested" for g in gaps)


def test_every_fault_there_is_has_a_way_back():
    for kind in environment.fault_kinds():
        assert set(coverage.ways(kind)) <= set(coverage.RECOVERIES) and coverage.ways(kind)
