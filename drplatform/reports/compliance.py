"""The compliance report: the strategy clause by clause and control by control, with the evidence for each.

One HTML page, the same as PDF, its JSON, and OSCAL for auditors' tools."""

import base64
import hashlib
import importlib.metadata
import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import jinja2

from drplatform.model import controls, history, projection
from drplatform.model.compliance import Assessment, Finding, Status
from drplatform.model.deficiency import Deficiency
from drplatform.model.history import Point
from drplatform.reports import documents, oscal, pdf, trends, wording

BADGES = {Status.PROVEN: "passed", Status.STALE: "inconclusive", Status.NEVER_TESTED: "skipped", Status.FAILED: "failed"}
"""The style of each status."""


def write(assessment: Assessment, directory: Path, past: Sequence[Point] = (), sizes: Mapping[str, float] | None = None) -> dict[str, Path]:
    """Write `compliance.html`, `.pdf`, `.json` and `.oscal.json`; the files by format. Drills whose report lies in the directory are links.

    `past` are all measurements, for the trends; `sizes` the production sizes in bytes by store, to which recovery times are projected.
    """
    known = [d for d in _cited(assessment) if (directory / d / f"{d}.html").is_file()]
    return {
        "html": documents.write_whole(directory / "compliance.html", page(assessment, known, past, sizes)),
        "pdf": pdf.write(assessment, directory, past, _projection_rows(past, sizes)),
        "oscal": oscal.write(assessment, directory),
        "json": documents.write_whole(directory / "compliance.json", json.dumps(document(assessment, past, sizes), indent=2) + "\n"),
    }


def document(assessment: Assessment, past: Sequence[Point] = (), sizes: Mapping[str, float] | None = None) -> dict[str, Any]:
    """The assessment as plain data. Times are UTC in ISO 8601."""
    return {
        "at": assessment.at.isoformat(),
        "basis": {**vars(assessment.basis), "first": _iso(assessment.basis.first), "last": _iso(assessment.basis.last)},
        "clauses": [_clause(f) for f in assessment.findings],
        "controls": {c: {"status": assessment.control(c).value, "proven": assessment.proven(c), "clauses": [f.clause.id for f in assessment.of(c)]} for c in assessment.controls},
        "calendar": [
            {"drill": d.name, "cadence": d.cadence, "passed": _iso(d.passed), "due": _iso(d.due), "overdue": d.overdue(assessment.at), "attempts": d.attempts}
            for d in assessment.calendar
        ],
        "deficiencies": [_deficiency(d, assessment) for d in assessment.deficiencies],
        "unfinished": list(assessment.unfinished),
        "measurements": [{**vars(p), "at": p.at.isoformat()} for p in past if p.of != history.STEP],
        "projections": [_projected(store, found) for store, found in projected(past, sizes or {}).items()],
    }  # fmt: skip


def _projected(store: str, found: projection.Projection | str) -> dict[str, Any]:
    """Marked as what it is: an estimate of seconds at a size, or why there is none."""
    return {"store": store, "kind": "estimate", **({"unknown": found} if isinstance(found, str) else vars(found))}


def projected(past: Sequence[Point], sizes: Mapping[str, float]) -> dict[str, projection.Projection | str]:
    """The recovery time of each store at its production size, or why that cannot be said."""
    return {store: projection.project(history.sized(past, store), size) for store, size in sizes.items()}


def _projection_rows(past: Sequence[Point], sizes: Mapping[str, float] | None) -> list[tuple[str, str, str, str]]:
    known = sizes or {}
    return [_projection_row(store, known[store], found) for store, found in projected(past, known).items()]


def _projection_row(store: str, size: float, found: projection.Projection | str) -> tuple[str, str, str, str]:
    if isinstance(found, str):
        return store, "", wording.size(size), f"cannot be said: {found}"
    measured = f"{found.runs} runs of {wording.size(found.smallest)} to {wording.size(found.largest)}"
    told = f"{wording.duration(found.estimate)} (between {wording.duration(found.lower)} and {wording.duration(found.upper)})"
    return store, measured, wording.size(size), f"{told}; {found.reach:,.0f} times the largest size measured"


def _deficiency(found: Deficiency, assessment: Assessment) -> dict[str, Any]:
    return {
        "drill": found.drill,
        "scenario": found.scenario,
        "found": _iso(found.found),
        "finding": found.finding,
        "clauses": list(found.clauses),
        "state": found.state(assessment.at.date()),
        "actions": [{"text": a.text, "owner": a.owner, "due": f"{a.due:%Y-%m-%d}", "planned": _iso(a.planned)} for a in found.actions],
        "retest": found.retest or None,
        "retested": _iso(found.retested),
    }


def _cited(assessment: Assessment) -> set[str]:
    cited = {drill for f in assessment.findings for drill in f.evidence}
    return cited | {drill for d in assessment.deficiencies for drill in (d.drill, d.retest) if drill}


def page(
    assessment: Assessment, reports: Collection[str] = (), past: Sequence[Point] = (), sizes: Mapping[str, float] | None = None
) -> str:
    """The page's text. `reports` are the drills whose report lies beside the page, in a directory of the drill's name."""
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
        reports=reports,
        trends=trends.trends(past),
        projections=_projection_rows(past, sizes),
        asks={name: controls.control(name).asks for name in assessment.controls},
        day=_day,
        release=importlib.metadata.version("drplatform"),
        caveats=[wording.CAVEATS[p] for p in assessment.basis.platforms if p in wording.CAVEATS],
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
        "platform": finding.platform,
        "how": finding.clause.how,
    }


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _day(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d}" if moment else "never"
