"""What a change must not break: each clause, drill, quantity and cell of the coverage as one item that passed, is in doubt, or failed. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum

from drplatform.model import history, trials
from drplatform.model.compliance import Assessment, Finding, Status
from drplatform.model.coverage import Matrix
from drplatform.model.history import Point


class Level(IntEnum):
    PASSED = 0
    DOUBT = 1
    FAILED = 2


@dataclass(frozen=True)
class Item:
    """One thing that was looked at. `group` is clause, drill, trend or coverage; `text` says what was found."""

    group: str
    name: str
    level: Level
    text: str


def clauses(assessment: Assessment) -> Iterable[Item]:
    """Failed clauses fail, stale ones are in doubt; those never tested are not the change's fault, and no item."""
    levels = {Status.PROVEN: Level.PASSED, Status.STALE: Level.DOUBT, Status.FAILED: Level.FAILED}
    for finding in assessment.findings:
        if finding.status in levels:
            yield Item("clause", finding.clause.id, levels[finding.status], _clause(finding))


def _clause(finding: Finding) -> str:
    return f"{finding.clause.text}: {finding.status.value}" + (f"; {finding.reason}" if finding.reason else "")


def drills(assessment: Assessment) -> Iterable[Item]:
    """Evidence that has expired: drills that have run and are overdue."""
    for due in assessment.calendar:
        if due.attempts:
            late = due.overdue(assessment.at)
            text = f"The {due.cadence} drill {due.name} is {'overdue' if late else 'in time'}."
            yield Item("drill", due.name, Level.DOUBT if late else Level.PASSED, text)


def required(assessment: Assessment, names: Sequence[str]) -> Iterable[Item]:
    """What was never tested although it must be. Raises KeyError for a name that is neither a clause nor a drill."""
    findings = {f.clause.id: f for f in assessment.findings}
    calendar = {d.name: d for d in assessment.calendar}
    for name in names:
        if name in findings and findings[name].status is Status.NEVER_TESTED:
            yield Item("clause", name, Level.DOUBT, _clause(findings[name]))
        elif name in calendar and not calendar[name].attempts:
            yield Item("drill", name, Level.DOUBT, f"The {calendar[name].cadence} drill {name} has never run.")
        elif name not in findings and name not in calendar:
            raise KeyError(name)


def coverage(matrix: Matrix) -> Iterable[Item]:
    """Cells that were tested once and are not any more."""
    for cell in matrix.cells:
        if cell in matrix.seen:
            fresh = matrix.seen[cell].fresh(matrix.at)
            text = f"{cell}: {'tested' if fresh else 'not tested any more'} by drill {matrix.seen[cell].drill}"
            yield Item("coverage", str(cell), Level.PASSED if fresh else Level.DOUBT, text)


def regressions(points: Sequence[Point], newest: int = trials.NEWEST) -> Iterable[Item]:
    """The newest runs of each scenario beside those before, by recovery time, loss and throughput of each store. On one platform each."""
    for of in (history.RTO, history.RPO, history.THROUGHPUT):
        grouped: dict[tuple[str, str, str], list[float]] = {}
        for point in history.chosen(points, of):
            if point.verdict != "INCONCLUSIVE":
                grouped.setdefault((point.platform, point.scenario, point.subject), []).append(point.value)
        for (platform, scenario, subject), values in grouped.items():
            before, new = trials.split(values, newest)
            found = trials.compare(before, new, more_is_better=of == history.THROUGHPUT) if before else None
            if found:
                level = Level.FAILED if found.regressed else Level.PASSED
                yield Item("trend", f"{of} of {subject}: {scenario} on {platform}", level, str(found))


def exit_code(items: Iterable[Item]) -> int:
    """0 all passed, 1 something failed, 2 something is in doubt, or nothing was looked at."""
    worst = max((item.level for item in items), default=Level.DOUBT)
    return {Level.PASSED: 0, Level.FAILED: 1, Level.DOUBT: 2}[worst]
