"""Notices as lines of a log: one JSON document a line, on standard error or in a file."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from drplatform.model import errors
from drplatform.model.clock import Clock
from drplatform.model.ports import Alerts, Notice
from drplatform.model.secret import Secret

OPTIONS = frozenset({"file"})


def connect(options: Mapping[str, str], secrets: Mapping[str, Secret], clock: Clock) -> Alerts:
    return Log(Path(options["file"]) if "file" in options else None)


def document(notice: Notice) -> dict[str, str]:
    """A notice as JSON."""
    return {
        "alert": notice.name,
        "subject": notice.subject,
        "severity": notice.severity,
        "state": notice.state,
        "text": notice.text,
        "since": notice.since.isoformat(),
        "at": notice.at.isoformat(),
    }


class Log:
    def __init__(self, file: Path | None) -> None:
        self._file = file

    def send(self, notice: Notice) -> None:
        line = json.dumps(document(notice), ensure_ascii=False)
        if self._file is None:
            sys.stderr.write(line + "\n")
            return
        try:
            with self._file.open("a", encoding="utf-8") as out:
                out.write(line + "\n")
        except OSError as error:
            raise errors.StoreError(f"The log of alerts {self._file} cannot be written ({error.strerror}).") from error
