"""The audit log in the forms that other systems take: JSON lines, and syslog lines (RFC 5424). Pure."""

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from drplatform.model import evidence

FACILITY_AUDIT, NOTICE, WARNING = 13, 5, 4
"""RFC 5424, tables 1 and 2: log audit; normal but significant; warning."""
CONTROLS = dict.fromkeys((*range(32), 127), " ")
BOM = "\ufeff"


def json_lines(records: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """A record a line, as it is hashed."""
    return (evidence.canonical(record).decode() for record in records)


def syslog(records: Iterable[Mapping[str, Any]], host: str) -> Iterator[str]:
    """A line a record: what and when in the header, the record whole as the message."""
    for record in records:
        failed = str(record.get("kind", "")).endswith(" failed") or record.get("verdict") == "FAILED"
        priority = FACILITY_AUDIT * 8 + (WARNING if failed else NOTICE)
        kind = str(record.get("kind") or "drill").replace(" ", "-")
        name = "".join(letter for letter in kind if letter.isascii() and letter.isprintable())[:32] or "-"
        message = json.dumps(record, sort_keys=True, ensure_ascii=False).translate(CONTROLS)
        yield f"<{priority}>1 {_when(record)} {host or '-'} drplatform - {name} - {BOM}{message}"


def _when(record: Mapping[str, Any]) -> str:
    """When it was done; nil where a record does not say."""
    try:
        moment = datetime.fromisoformat(str(record.get("when") or record.get("finished")))
    except ValueError:
        return "-"
    return moment.isoformat(timespec="milliseconds") if moment.tzinfo else "-"
