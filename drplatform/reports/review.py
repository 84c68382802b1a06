"""The post-incident review of a drill: everything that was measured is filled in, everything that only people know is left to them.

Blameless: it asks what made sense at the time, and ends with actions that are tracked to their retest.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from drplatform.model import timeline
from drplatform.model.deficiency import Deficiency
from drplatform.reports import facts, prose, wording

BLANK = "______________________________"

TOLD = {
    "fault.confirmed": "disaster took effect: {fault} on {targets}",
    "mistake.found": "found in the log: {verb} {subject}",
    "step.begin": "began: {step}",
    "step.end": "done: {step}",
    "step.failed": "did not work: {step}: {error}",
    "activity.failed": "not met: {text}: {error}",
    "backup.end": "backup {id}",
    "gameday.detected": "a person declared an incident",
    "gameday.decided": "a person decided: {component}",
    "gameday.signed": "signed off by {who}",
    "failover.decided": "decided to fail over to {to}",
    "store.promoted": "{store} promoted",
    "drill.end": "ended: {verdict}",
}
"""The events of a timeline that a reader needs, in words."""

QUESTIONS = (
    "What did we expect to happen, and what surprised us?",
    "What told us first that something was wrong? Would an alert have been earlier?",
    "Where did the runbook help, and where did we leave it or doubt it?",
    "What made the outage longer, or the loss bigger, than it had to be?",
    "What went well, and must not be lost?",
)


def write(record: Mapping[str, Any], found: Deficiency | None, directory: Path) -> dict[str, Path]:
    """Write `review-<id>.md` and `.html`; the files by format."""
    return prose.write(document(record, found), directory, f"review-{record['id']}")


def document(record: Mapping[str, Any], found: Deficiency | None) -> prose.Document:
    scenario = str(facts.mapping(record["scenario"]).get("name") or "drill")
    blocks: list[prose.Block] = [
        prose.Heading("What happened"),
        prose.Text(str(record["summary"])),
        prose.Text(str(facts.mapping(record["scenario"]).get("feature") or "")),
        *_impact(record),
        *_phases(record),
        *_timeline(record),
        *_reasons(record),
        prose.Heading("What people say"),
        *(block for question in QUESTIONS for block in (prose.Text(f"{question}"), prose.Text(BLANK))),
        *_actions(record, found),
        prose.Heading("Sign-off"),
        prose.Items([f"{role}: {BLANK} on {BLANK}" for role in ("Led the recovery", "Owner of the service", "Review held by")]),
    ]
    about = f"Drill `{record['id']}` on {record['platform']}, {wording.moment(record['started'])}, run by {record['operator']}: {record['verdict']}"
    return prose.Document(f"Review: {scenario}", "Post-incident review", about, [b for b in blocks if not _empty(b)])


def _empty(block: prose.Block) -> bool:
    return isinstance(block, prose.Text) and not block.text


def _impact(record: facts.Document) -> list[prose.Block]:
    rows = [
        (f"{t.title} of {t.subject}", wording.bounds(t.lower, t.upper), f"below {wording.duration(t.target)}", t.verdict.lower())
        for t in facts.targets(record)
    ]
    losses = [
        f"{loss.get('store')}: {wording.count(loss.get('lost'))} of {wording.counted(loss.get('acked'), 'acknowledged write')} lost"
        for loss in facts.mappings(record["losses"])
    ]
    table: list[prose.Block] = [prose.Table(("What users saw", "Measured", "Target", "Verdict"), rows)] if rows else []
    return [prose.Heading("Impact"), *(table or [prose.Text("Nothing was measured.")]), *([prose.Items(losses)] if losses else [])]


def _phases(record: facts.Document) -> list[prose.Block]:
    spent = facts.mapping(record["phases"])
    usual = [p for p in timeline.PHASES if p in spent]
    rows = [(phase, wording.duration(spent[phase])) for phase in (*usual, *(p for p in spent if p not in usual))]
    return [prose.Heading("Where the time went"), prose.Table(("Phase", "Took"), rows)] if rows else []


def _timeline(record: facts.Document) -> list[prose.Block]:
    rows = [row for event in facts.mappings(record["timeline"]) if (row := _told(event))]
    return [prose.Heading("Timeline"), prose.Table(("After", "UTC", "Event"), rows)] if rows else []


def _told(event: facts.Document) -> tuple[str, str, str] | None:
    pattern = TOLD.get(str(event.get("name")))
    if pattern is None:
        return None
    detail = {name: _plain(value) for name, value in facts.mapping(event.get("detail")).items()}
    return wording.elapsed(event.get("t")), str(event.get("utc"))[11:19], pattern.format_map(_Known(detail))


class _Known(dict[str, str]):
    def __missing__(self, name: str) -> str:
        return "?"


def _plain(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _reasons(record: facts.Document) -> list[prose.Block]:
    found = facts.reasons(record)
    return [prose.Heading("What kept it from passing"), prose.Items(found)] if found else []


def _actions(record: facts.Document, found: Deficiency | None) -> list[prose.Block]:
    """What was planned against it in the audit log, and room for more."""
    planned = _planned(found) if found else []
    command = f'drplatform compliance action {record["id"]} "what is done" --owner NAME --due YYYY-MM-DD'
    return [
        prose.Heading("Corrective actions"),
        *([prose.Table(("Action", "Owner", "Due", "State"), planned)] if planned else [prose.Text("None is planned yet.")]),
        *([prose.Text("Plan one, so that it is tracked to its retest:"), prose.Code(command)] if found else []),
    ]


def _planned(found: Deficiency) -> list[tuple[str, str, str, str]]:
    state = f"retested by {found.retest}" if found.retest else "waits for a retest"
    return [(a.text, a.owner, f"{a.due:%Y-%m-%d}", state) for a in found.actions]
