"""The audit log: hash-chained records in a file of JSON lines, appended to by any number of processes.

Kept outside the platform. A log that does not verify is never appended to.
"""

import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drplatform.model import errors, evidence

DRILL_BEGUN = "drill begun"


def unfinished(records: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Ids of the drills that were begun and left no evidence: broken off, or still running. An attempt is never forgotten."""
    begun: dict[str, None] = {}
    for record in records:
        if record.get("kind") == DRILL_BEGUN:
            begun[str(record["id"])] = None
        elif "verdict" in record:
            begun.pop(str(record.get("id")), None)
    return tuple(begun)


@dataclass(frozen=True)
class AuditLog:
    path: Path

    def append(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Append the document durably, and return it as a record with `previous` and `hash`.

        A line that a crash has torn is moved aside to `<name>.torn-<n>`, and a record of that is appended before. Raises IntegrityError
        when the log was tampered with.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._locked():
            torn = self._set_torn_line_aside()
            previous = evidence.verify_chain(self.read())
            for body in ([{"kind": "torn-line", "moved_to": torn}] if torn else []) + [dict(document)]:
                record = evidence.link(body, previous)
                self._write(evidence.canonical(record) + b"\n")
                previous = record["hash"]
        return record

    def ready(self) -> None:
        """Make sure that records can be appended. Raises IntegrityError when the log was tampered with, OSError when it cannot be written."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._locked():
            whole, _, _ = self._content().rpartition(b"\n")
            evidence.verify_chain(self._records(whole))

    def read(self) -> list[dict[str, Any]]:
        """All records. Raises IntegrityError for a line that is none."""
        return self._records(self._settled())

    def verify(self) -> str:
        """The hash of the last record. Raises IntegrityError naming the first record that was changed, moved or removed."""
        return evidence.verify_chain(self.read())

    def _settled(self) -> bytes:
        """The content; while somebody is in the middle of an append, that after it: a half-written line is no damage."""
        content, lock = self._content(), self._lock
        if not content or content.endswith(b"\n") or not lock.exists():
            return content
        with lock.open() as held:
            fcntl.flock(held, fcntl.LOCK_SH)
            return self._content()

    @property
    def _lock(self) -> Path:
        return self.path.with_suffix(".lock")

    def _content(self) -> bytes:
        return self.path.read_bytes() if self.path.exists() else b""

    def _records(self, content: bytes) -> list[dict[str, Any]]:
        return [self._record(number, line) for number, line in enumerate(content.splitlines(), 1)]

    def _record(self, number: int, line: bytes) -> dict[str, Any]:
        try:
            record = json.loads(line)
        except ValueError as error:
            raise errors.IntegrityError(f"Record {number} of the audit log {self.path} is unreadable: {error}.") from error
        if not isinstance(record, dict):
            raise errors.IntegrityError(f"Record {number} of the audit log {self.path} is no record.")
        return record

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._lock.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _set_torn_line_aside(self) -> str:
        """A crash in the middle of an append leaves a last line without its end."""
        content = self._content()
        _, _, torn = content.rpartition(b"\n")
        if not torn:
            return ""
        aside = next(p for n in range(1, 10_000) if not (p := self.path.with_name(f"{self.path.name}.torn-{n}")).exists())
        aside.write_bytes(torn)
        with self.path.open("r+b") as log:
            log.truncate(len(content) - len(torn))
            os.fsync(log.fileno())
        return aside.name

    def _write(self, line: bytes) -> None:
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "ab") as log:
            log.write(line)
            log.flush()
            os.fsync(log.fileno())
