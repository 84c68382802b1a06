"""The audit log and the signed evidence outside the machine that writes them: in the vault, as objects that are never overwritten.

A log is known by the hash of its first record. Its records lie in segments, each named by the number of records before it; each drill's
record lies beside them once more, signed. What is kept is compared with the log, so that neither can be cut or rewritten unseen. Not
encrypted: evidence holds no secrets, and auditors hold no keys.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from drplatform.model import errors, evidence, ports

PREFIX = "evidence/"
ATTEMPTS = 10
"""So often, at the most, somebody else's segment may come before ours."""

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Kept:
    """`log` is its name in the vault; `records`, how many of it are there; `new`, how many of those came now."""

    log: str
    records: int
    new: int


def name(records: Sequence[Record]) -> str:
    """What the log that begins with these records is called."""
    return str(records[0]["hash"])[:16]


@dataclass(frozen=True)
class Archive:
    repository: ports.Repository

    def keep(self, read: Callable[[], Sequence[Record]], sign: Callable[[Record], bytes]) -> Kept:
        """Store what of the log is not there yet. Several may do so at once: `read` reads the log anew, as others go on with it.

        Raises IntegrityError when the log is not what was kept of it.
        """
        begun = read()
        if not begun:
            return Kept("", 0, 0)
        log = name(begun)
        for attempt in range(ATTEMPTS):
            begin, last = self._last(log)
            records = read()  # after what is kept, which is then not ahead of it
            self._require_same(log, begin, last, records)
            known = begin + len(last)
            if attempt and known >= len(begun):
                return Kept(log, known, 0)  # the others have stored ours with theirs
            try:
                self._store(log, known, records[known:], sign)
            except errors.ObjectExists:
                continue  # another process has stored a segment from there on
            return Kept(log, len(records), len(records) - known)
        raise errors.StoreError(f"Others write to the log {log} in {self.repository.describe()} all the time; try again.")

    def logs(self) -> list[str]:
        """The names of the logs that the vault holds."""
        return sorted({info.key.split("/")[1] for info in self.repository.list(PREFIX)})

    def records(self, log: str) -> list[dict[str, Any]]:
        """All that is kept of the log. Raises IntegrityError naming what was changed, moved or removed."""
        found: list[dict[str, Any]] = []
        for begin, key in self._segments(log):
            if begin != len(found):
                raise errors.IntegrityError(
                    f"The vault's log {log} goes from record {len(found)} to {begin + 1}: a segment is missing or moved."
                )
            found += self._read(key)
        evidence.verify_chain(found)
        return found

    def signed(self, log: str) -> dict[str, bytes]:
        """The signed evidence that is kept beside the log, by file name."""
        keys = [info.key for info in self.repository.list(f"{PREFIX}{log}/signed/")]
        return {key.rsplit("/", 1)[1]: self.repository.get(key) for key in keys}

    def compare(self, read: Callable[[], Sequence[Record]]) -> Kept:
        """How much of the log is kept. Raises IntegrityError when the log was cut, or is not what was kept of it, or this was changed."""
        begun = read()
        if not begun:
            return Kept("", 0, 0)
        log = name(begun)
        kept = self.records(log)
        self._require_same(log, 0, kept, read())
        return Kept(log, len(kept), 0)

    def _store(self, log: str, known: int, new: Sequence[Record], sign: Callable[[Record], bytes]) -> None:
        """Signed evidence first: a record that is kept has it."""
        if not new:
            return
        for number, record in enumerate(new, known + 1):
            if "verdict" in record:
                self.repository.put(f"{PREFIX}{log}/signed/{number:09d}-{record['id']}.dsse.json", sign(record))
        self.repository.put(f"{PREFIX}{log}/records/{known:09d}.jsonl", b"".join(evidence.canonical(r) + b"\n" for r in new))

    def _last(self, log: str) -> tuple[int, Sequence[Record]]:
        """The last segment: how many records are before it, and its own. The chain ties the others to it."""
        segments = self._segments(log)
        return (segments[-1][0], self._read(segments[-1][1])) if segments else (0, ())

    def _require_same(self, log: str, begin: int, kept: Sequence[Record], records: Sequence[Record]) -> None:
        if begin + len(kept) > len(records):
            raise errors.IntegrityError(
                f"The vault holds {begin + len(kept)} records of this audit log, which has {len(records)}: it was cut at its end. "
                "Keep both as evidence, and move the log aside."
            )
        for number, record in enumerate(kept, begin):
            if evidence.canonical(record) != evidence.canonical(records[number]):
                raise errors.IntegrityError(f"Record {number + 1} of the audit log is not the one that the vault holds ({log}).")

    def _segments(self, log: str) -> list[tuple[int, str]]:
        keys = [info.key for info in self.repository.list(f"{PREFIX}{log}/records/")]
        return [(int(key.rsplit("/", 1)[1].removesuffix(".jsonl")), key) for key in keys]

    def _read(self, key: str) -> list[dict[str, Any]]:
        try:
            return [json.loads(line) for line in self.repository.get(key).splitlines()]
        except ValueError as error:
            raise errors.IntegrityError(f"The segment {key} of the audit log in the vault is unreadable ({error}).") from error
