"""One HTML page for one drill, complete in itself: no script, no request, the same today and in ten years.

The outside uses `write` and `page`. Its content security policy forbids everything but its own style sheet, by hash.
"""

import base64
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2

from drplatform.model.evidence import Evidence
from drplatform.reports import documents, facts, wording
from drplatform.reports.html import view

__all__ = ["page", "write"]

_NO_SCENARIO: Mapping[str, Any] = {"name": "", "feature": "", "cadence": "", "tags": (), "source": ""}


def write(evidence: Evidence, directory: Path, record: Mapping[str, Any] | None = None) -> Path:
    """Write `<id>.html`. `record` (the evidence as linked into the audit log) adds its `hash` and `previous` to the page.

    Raises IntegrityError when the evidence holds what does not belong into a report.
    """
    return documents.write_whole(directory / documents.file_name(evidence, ".html"), page(evidence, record))


def page(evidence: Evidence, record: Mapping[str, Any] | None = None) -> str:
    """The page's text."""
    document = documents.document(evidence)
    templates = _templates()
    style = templates.get_template("drill.css").render()
    return templates.get_template("drill.html").render(
        evidence=document,
        scenario={**_NO_SCENARIO, **facts.mapping(document["scenario"])},
        record=record,
        json_file=documents.file_name(evidence, ".json"),
        signed_file=documents.file_name(evidence, ".dsse.json"),
        style=style,
        style_hash=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
        facts=facts,
        view=view,
        words=wording,
    )


def _templates() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("drplatform.reports"),
        autoescape=jinja2.select_autoescape(("html",)),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
