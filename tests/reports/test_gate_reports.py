"""The gate: what fails it, what leaves it in doubt, and how it is told to machines and people."""

from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree

import pytest

from drplatform.model import coverage, gate, history
from drplatform.model.coverage import Cell, Matrix, Seen
from drplatform.model.gate import Item, Level
from drplatform.reports import gate as reports
from drplatform.reports import trends

NOW = datetime(2026, 6, 15, tzinfo=UTC)
ITEMS = [
    Item("clause", "a", Level.PASSED, "all well"),
    Item("trend", "b|c", Level.FAILED, 'slower <by> "half"'),
    Item("drill", "d", Level.DOUBT, "overdue"),
]


def points(values, of=history.RTO, scenario="S", subject="redis", verdict="PASSED"):
    return [
        history.Point(f"drill-{n}", NOW + timedelta(hours=n), scenario, "embedded", "h", verdict, of, subject, v, v)
        for n, v in enumerate(values)
    ]


@pytest.mark.parametrize(("items", "code"), [(ITEMS[:1], 0), (ITEMS, 1), (ITEMS[::2], 2), ([], 2)])
def test_exit_codes(items, code):
    assert gate.exit_code(items) == code


def test_junit_tells_failures_and_doubts_apart():
    root = ElementTree.fromstring(reports.junit(ITEMS))
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("3", "1", "1")
    assert root.find(".//failure").get("message") == 'slower <by> "half"'
    assert root.find(".//error").get("message") == "overdue"
    assert len(root.findall(".//testcase")) == 3 and len(root.findall("testsuite")) == 3


def test_markdown_shows_the_worst_first():
    text = reports.markdown(ITEMS)
    assert text.startswith("## Recovery gate: failed") and "b\\|c" in text
    assert text.index("slower") < text.index("overdue") < text.index("all well")
    assert "in doubt" in reports.markdown([]) and "passed" in reports.markdown(ITEMS[:1])


STEADY = [10, 10.5, 9.8, 10.2, 10.1, 9.9, 10.4, 10.3, 10.0, 10.6]


def test_a_planted_slow_recovery_fails_its_own_item_alone():
    slow = [*STEADY, *(v * 1.6 for v in STEADY[:5])]
    items = list(gate.regressions([*points(slow), *points(STEADY + STEADY[:5], subject="files"), *points(STEADY, scenario="other")]))
    assert {i.name: i.level for i in items if i.level is Level.FAILED} == {"rto of redis: S on embedded": Level.FAILED}
    assert len(items) == 3 and all("would have been seen" in i.text or "too few" in i.text for i in items)


def test_slower_restores_fail_and_inconclusive_runs_do_not_count():
    throughput = points([*(1e6 * v for v in STEADY), *(5e5 * v for v in STEADY[:5])], history.THROUGHPUT)
    assert [i.level for i in gate.regressions(throughput)] == [Level.FAILED]
    assert list(gate.regressions(points(STEADY, verdict="INCONCLUSIVE"))) == []


def test_coverage_that_has_fallen_is_in_doubt():
    cells = (Cell("f", "redis", "backups"), Cell("g", "redis", "backups"), Cell("h", "redis", "backups"))
    seen = {cells[0]: Seen("a", "PASSED", NOW), cells[1]: Seen("b", "PASSED", NOW - coverage.MAX_AGE - timedelta(days=1))}
    assert [i.level for i in gate.coverage(Matrix(NOW, cells, seen, ()))] == [Level.PASSED, Level.DOUBT]


# -- trends -----------------------------------------------------------------------------------------------------------------------


def test_trends_keep_within_their_charts_and_show_every_run():
    found = [*points(STEADY), *points([0.0, 0.1] * 5, history.RPO), *points([3.0] * 10, history.PHASE, subject="restore"),
             *points([1.0] * 10, history.PHASE, subject="fence"), *points([5e6] * 10, history.SIZE)]  # fmt: skip
    (trend,) = trends.trends(found)
    assert trend.runs == 10 and [c.title for c in trend.charts] == [
        "Recovery by phase", "Recovery time by store", "Data loss by store", "Size of what was restored"]  # fmt: skip
    for chart in trend.charts:
        assert all(b.x >= 0 and b.x + b.width <= 100 and b.y >= -0.01 and b.y + b.height <= 100.01 for b in chart.blocks)
        assert all(0 <= x <= 100 and 0 <= y <= 100 for line in chart.lines for x, y, _ in line.dots)
    assert len(trend.charts[0].blocks) == 20 and len(trend.charts[1].lines[0].dots) == 10
    column = trend.charts[0].blocks[:2]
    assert column[0].height + column[1].height == pytest.approx(100)


def test_one_run_is_no_trend_and_old_ones_make_room():
    assert trends.trends(points([1.0])) == ()
    (trend,) = trends.trends(points([1.0] * 50))
    assert trend.runs == trends.KEPT
