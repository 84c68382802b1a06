"""The assessment as OSCAL assessment results: what GRC tools of auditors read.

Format: NIST OSCAL 1.2.1, Assessment Results model (pages.nist.gov/OSCAL/reference). Identifiers follow from the content, so that the same
assessment gives the same document.
"""

import json
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Any

from drplatform.model import controls
from drplatform.model.compliance import Assessment, Finding, Status
from drplatform.model.deficiency import Deficiency
from drplatform.reports import documents

VERSION = "1.2.1"
_NAMESPACE = uuid.UUID("0d7c7a5e-2d9b-5f7b-9d3a-51a9a4b7c0de")

STATES = {
    Status.PROVEN: ("satisfied", "pass"),
    Status.STALE: ("not-satisfied", "other"),
    Status.NEVER_TESTED: ("not-satisfied", "other"),
    Status.FAILED: ("not-satisfied", "fail"),
}
"""Status -> state and reason of an OSCAL finding. What is stale or was never tested is not satisfied."""


def write(assessment: Assessment, directory: Path) -> Path:
    """Write `compliance.oscal.json`."""
    return documents.write_whole(directory / "compliance.oscal.json", json.dumps(document(assessment), indent=2) + "\n")


def document(assessment: Assessment) -> dict[str, Any]:
    """An OSCAL document with one result: observations by drill, findings by control, risks by deficiency."""
    at = _stamp(assessment.at)
    plan = _id("plan")
    return {
        "assessment-results": {
            "uuid": _id("results", at),
            "metadata": {
                "title": "Recovery drills held against the backup and disaster recovery strategy",
                "last-modified": at,
                "version": at,
                "oscal-version": VERSION,
            },
            "import-ap": {"href": f"#{plan}"},
            "results": [_result(assessment, at)],
            "back-matter": {"resources": [{"uuid": plan, "title": "The drill calendar of the policy"}]},
        }
    }


def _result(assessment: Assessment, at: str) -> dict[str, Any]:
    lists = {
        "observations": [_observation(drill, assessment) for drill in _drills(assessment)],
        "risks": [_risk(d, assessment) for d in assessment.deficiencies],
        "findings": [_finding(control, assessment) for control in assessment.controls],
    }
    tokens = [{"control-id": controls.control(name).token} for name in assessment.controls]
    return {
        "uuid": _id("result", at),
        "title": "Clause by clause and control by control",
        "description": "Each control stands as the worst of the strategy's clauses that bear on it; clauses are proven by drills alone.",
        "start": at,
        "end": at,
        "reviewed-controls": {"control-selections": [{"include-controls": tokens} if tokens else {"include-all": {}}]},
        **{name: found for name, found in lists.items() if found},
    }


def _drills(assessment: Assessment) -> tuple[str, ...]:
    """Every drill that bears on a clause, and every one that failed."""
    cited = [drill for f in assessment.findings for drill in f.evidence]
    return tuple(dict.fromkeys([*cited, *(d.drill for d in assessment.deficiencies)]))


def _observation(drill: str, assessment: Assessment) -> dict[str, Any]:
    shown = [f for f in assessment.findings if drill in f.evidence]
    expires = [f.expires for f in shown if f.evidence[0] == drill and f.expires]
    return {
        "uuid": _id("observation", drill),
        "title": f"Drill {drill}",
        "description": f"A recovery drill; it bears on {len(shown)} clauses. Its signed record names targets, measurements and checks.",
        "methods": ["TEST"],
        "types": ["finding"],
        "relevant-evidence": [{"href": f"{drill}/{drill}.dsse.json", "description": "The signed record of the drill (DSSE, in-toto)."}],
        "collected": _stamp(_collected(drill, assessment)),
        **({"expires": _stamp(min(expires))} if expires else {}),
    }


def _collected(drill: str, assessment: Assessment) -> datetime:
    """When the drill was held; its id begins with the moment."""
    try:
        return datetime.strptime(drill[:16], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return next((d.found for d in assessment.deficiencies if d.drill == drill), assessment.at)


def _finding(name: str, assessment: Assessment) -> dict[str, Any]:
    control, status, of = controls.control(name), assessment.control(name), assessment.of(name)
    state, reason = STATES[status]
    risks = [d for d in assessment.deficiencies if {f.clause.id for f in of} & set(d.clauses)]
    return {
        "uuid": _id("finding", name),
        "title": f"{name}: {status.value}",
        "description": control.asks or name,
        "target": {
            "type": "objective-id",
            "target-id": control.token,
            "title": name,
            "props": [{"name": _word(f.clause.id), "value": f.status.value, "class": "clause"} for f in of],
            "status": {"state": state, "reason": reason, "remarks": _remarks(of)},
        },
        **_related("related-observations", "observation-uuid", (_id("observation", e) for e in _evidence(of))),
        **_related("related-risks", "risk-uuid", (_id("risk", d.drill) for d in risks)),
    }


def _evidence(of: Iterable[Finding]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(e for f in of for e in f.evidence))


def _remarks(of: Iterable[Finding]) -> str:
    return _line("; ".join(f"{f.clause.text}: {f.status.value}{f' ({f.reason})' if f.reason else ''}" for f in of))


def _risk(found: Deficiency, assessment: Assessment) -> dict[str, Any]:
    state = found.state(assessment.at.date())
    status = {"closed by retest": "closed", "no action planned": "open"}.get(state, "remediating")
    observed = [found.drill, *([found.retest] if found.retest in _drills(assessment) else [])]
    due = [a.due for a in found.actions]
    return {
        "uuid": _id("risk", found.drill),
        "title": _line(f"Failed drill: {found.scenario}"),
        "description": _line(found.finding) or "The drill failed.",
        "statement": f"Until a drill of the same scenario passes, this recovery is not to be relied on ({state}).",
        "status": status,
        **({"deadline": _stamp(datetime.combine(min(due), time(), UTC))} if due else {}),
        **({"remediations": [_remediation(found, n) for n in range(len(found.actions))]} if found.actions else {}),
        **_related("related-observations", "observation-uuid", (_id("observation", drill) for drill in observed)),
    }


def _remediation(found: Deficiency, number: int) -> dict[str, Any]:
    action = found.actions[number]
    return {
        "uuid": _id("remediation", found.drill, str(number)),
        "lifecycle": "completed" if found.closed else "planned",
        "title": _line(action.text) or "Corrective action",
        "description": f"{_line(action.owner)}, due {action.due:%Y-%m-%d}.",
    }


def _related(name: str, key: str, ids: Iterable[str]) -> dict[str, list[dict[str, str]]]:
    """OSCAL has no empty lists."""
    found = [{key: one} for one in dict.fromkeys(ids)]
    return {name: found} if found else {}


def _line(text: str) -> str:
    """OSCAL's texts have no space at their ends; its titles are one line."""
    return " ".join(text.split())


def _word(text: str) -> str:
    return text if text[:1].isalpha() else f"_{text}"


def _id(*parts: str) -> str:
    return str(uuid.uuid5(_NAMESPACE, "\n".join(parts)))


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds")
