"""The compliance report: the strategy clause by clause and control by control, with the evidence for each. One HTML page and its JSON."""

import base64
import hashlib
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import jinja2

from drplatform.model.compliance import Assessment, Finding, Status
from drplatform.reports import documents

BADGES = {Status.PROVEN: "passed", Status.STALE: "inconclusive", Status.NEVER_TESTED: "skipped", Status.FAILED: "failed"}
"""The style of each status."""


def write(assessment: Assessment, directory: Path) -> dict[str, Path]:
    """Write `compliance.html` and `compliance.json`; the files by format."""
    return {
        "html": documents.write_whole(directory / "compliance.html", page(assessment)),
        "json": documents.write_whole(directory / "compliance.json", json.dumps(document(assessment), indent=2) + "\n"),
    }


def document(assessment: Assessment) -> dict[str, Any]:
    """The assessment as plain data. Times are UTC in ISO 8601."""
    return {
        "at": assessment.at.isoformat(),
        "clauses": [_clause(f) for f in assessment.findings],
        "controls": {c: {"status": assessment.control(c).value, "clauses": [f.clause.id for f in assessment.of(c)]} for c in assessment.controls},
        "calendar": [
            {"drill": d.name, "cadence": d.cadence, "passed": _iso(d.passed), "due": _iso(d.due), "overdue": d.overdue(assessment.at), "attempts": d.attempts}
            for d in assessment.calendar
        ],
        "unfinished": list(assessment.unfinished),
    }  # fmt: skip


def page(assessment: Assessment) -> str:
    """The page's text."""
    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("drplatform.reports"),
        autoescape=jinja2.select_autoescape(("html",)),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = templates.get_template("drill.css").render()
    return templates.get_template("compliance.html").render(
        assessment=assessment,
        counts={status: sum(f.status is status for f in assessment.findings) for status in Status},
        sections=dict.fromkeys(f.clause.section for f in assessment.findings),
        badges=BADGES,
        day=_day,
        style=style,
        style_hash=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
    )


def _clause(finding: Finding) -> dict[str, Any]:
    return {
        "id": finding.clause.id,
        "section": finding.clause.section,
        "text": finding.clause.text,
        "controls": list(finding.clause.controls),
        "status": finding.status.value,
        "evidence": list(finding.evidence),
        "expires": _iso(finding.expires),
        "reason": finding.reason,
    }


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _day(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d}" if moment else "never"
