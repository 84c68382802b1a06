"""An evidence as a plain document, and files that are there whole or not at all.

Every report starts here, so that none can be made from an evidence that holds what must not leave: a `Secret`, or a value that
JSON has no form for.
"""

import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from drplatform.model import errors
from drplatform.model.evidence import Evidence


def document(evidence: Evidence) -> dict[str, Any]:
    """The evidence as dictionaries, lists, strings, numbers, booleans and None.

    Raises IntegrityError, with the place, for anything else in it (a `Secret` above all): it does not belong into a report.
    """
    plain: dict[str, Any] = _plain(evidence.to_json(), "evidence")
    return plain


def _plain(value: Any, place: str) -> Any:
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {_key(name, place): _plain(inner, f"{place}.{name}") for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner, f"{place}[{number}]") for number, inner in enumerate(value)]
    raise errors.IntegrityError(
        f"No report was written: {place} holds a {type(value).__name__}, which must not be in an evidence; "
        "record plain text or numbers there."
    )


def _key(name: Any, place: str) -> str:
    if isinstance(name, str):
        return name
    raise errors.IntegrityError(f"No report was written: a name in {place} is a {type(name).__name__}; use text as names in an evidence.")


def file_name(evidence: Evidence, suffix: str) -> str:
    """The name of a report's file: the drill's id, safe as a file name, and the suffix."""
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", evidence.id).strip(".-")
    return f"{safe or 'drill'}{suffix}"


def write_whole(path: Path, content: str | bytes) -> Path:
    """Write a file under a temporary name, then rename it: a reader sees all of it or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content.encode() if isinstance(content, str) else content
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path
