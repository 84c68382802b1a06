"""The evidence as a JSON file that people can read and machines can check.

The file is indented for reading; hashes are taken over the canonical form (`model.evidence.canonical`), which does not depend on
how the file is laid out.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from drplatform.model import errors
from drplatform.model.evidence import Evidence
from drplatform.reports import documents


def write(evidence: Evidence, directory: Path, record: Mapping[str, Any] | None = None) -> Path:
    """Write `<id>.json`. `record` (the document as linked into the audit log) adds its `previous` and `hash`.

    Raises IntegrityError when the evidence holds a secret or a number that JSON has no form for.
    """
    return documents.write_whole(directory / documents.file_name(evidence, ".json"), text(evidence, record))


def text(evidence: Evidence, record: Mapping[str, Any] | None = None) -> str:
    """The file's content."""
    chain = {name: str(record[name]) for name in ("previous", "hash")} if record else {}
    try:
        content = json.dumps({**documents.document(evidence), **chain}, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    except ValueError as error:
        raise errors.IntegrityError(
            f"The evidence of drill {evidence.id} holds a number that is none ({error}); record None and a reason instead."
        ) from error
    return content + "\n"


def read(path: Path) -> Evidence:
    """Read a file that `write` wrote. Raises IntegrityError when it is not one."""
    try:
        return Evidence.from_json(json.loads(path.read_bytes()))
    except (KeyError, TypeError, ValueError) as error:
        raise errors.IntegrityError(
            f"{path} is not the evidence of a drill ({type(error).__name__}: {error}); use the file as the drill wrote it."
        ) from error
    except OSError as error:
        raise errors.SettingsError(f"{path} cannot be read ({error.strerror}); name the JSON file of a drill.") from error
