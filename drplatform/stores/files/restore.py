"""A restore of packs into the buckets of the target, verified three times: each object's content before it becomes visible, the packs
against the index of the backup, and the target against both by reading all of it back."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from drplatform.model import errors
from drplatform.model.backup import BASES, BackupKind, Digest, Multiset
from drplatform.model.ports import RestoreEnd
from drplatform.model.position import Position
from drplatform.stores.files import digest, framing, listing, upload
from drplatform.stores.files.content import End, Header, Tally, Void


@contextmanager
def restore(s3: Any, buckets: tuple[str, ...]) -> Iterator["FilesRestore"]:
    yield FilesRestore(s3, buckets)


class FilesRestore:
    """See `ports.Restore`."""

    def __init__(self, s3: Any, buckets: tuple[str, ...]) -> None:
        self._s3, self._buckets = s3, buckets
        self._packed, self._indexed, self._written = Tally(), Tally(), Tally()
        self._lock = threading.Lock()
        self._refused: list[str] = []
        self._reached: Position | None = None

    def load(self, kind: BackupKind, part: str, blocks: Iterator[bytes]) -> None:
        if kind not in BASES:
            raise errors.StoreError(f"Files are restored from full backups, not from {kind}; choose another backup.")
        what, _, rest = part.partition("/")
        bucket = rest.split("/")[0]
        if what not in ("content", "index"):
            raise errors.IntegrityError(f"A backup of files has no part {part!r}; it was made by another version, use that one.")
        if bucket not in self._buckets:
            raise errors.StoreError(f"The backup holds the bucket {bucket}, the target has {', '.join(self._buckets)}; name it there too.")
        (self._load_pack if what == "content" else self._load_index)(bucket, blocks)

    def loaded(self) -> None:
        """Raises IntegrityError when the packs do not hold what the index says."""
        if self._reached is None or self._indexed.digests() != self._packed.digests():
            raise errors.IntegrityError(
                "The packs of this backup do not hold what its index lists; do not trust this backup, use another one, in a fresh target."
            )

    def replay(self, blocks: Iterator[bytes], until: Position | None) -> None:
        raise errors.StoreError("Files have no continuous log; restore without one.")

    def finish(self) -> RestoreEnd:
        """Reads everything back. Raises VerificationFailed when the target does not hold what was written."""
        assert self._reached, "loaded() has checked it"
        found = digest.measure(self._s3, self._buckets, listing.protected)
        _compare(self._written.digests(), found.digests())
        return RestoreEnd(self._reached, found.digests(), found.counts(), tuple(sorted(self._refused)))

    def _load_pack(self, bucket: str, blocks: Iterator[bytes]) -> None:
        self._packed.open(bucket)
        current: _Object | None = None
        try:
            for event in framing.events(blocks):
                if isinstance(event, Header):
                    _require(current is None)
                    current = _Object(self._s3, bucket, event)
                    continue
                if current is None:
                    raise _malformed()
                if isinstance(event, End):
                    self._finish_object(bucket, current, event)
                elif isinstance(event, Void):
                    current.abandon()
                else:
                    current.add(event)
                    continue
                current = None
            _require(current is None)
        except BaseException:
            if current is not None:
                current.abandon()
            raise

    def _finish_object(self, bucket: str, current: "_Object", end: End) -> None:
        current.finish(end.sha256)
        self._packed.add(bucket, current.header, end.sha256)
        if current.refusal:
            with self._lock:
                self._refused.append(f"{bucket}/{current.refusal}")
        else:
            self._written.add(bucket, current.header, end.sha256)

    def _load_index(self, bucket: str, blocks: Iterator[bytes]) -> None:
        self._packed.open(bucket)
        self._indexed.open(bucket)
        lines = (line for block in blocks for line in block.splitlines())
        try:
            position = Position.from_json(json.loads(next(lines)))
            for line in lines:
                document = json.loads(line)
                self._indexed.add(bucket, Header.from_json(document), str(document["sha256"]))
        except (StopIteration, KeyError, TypeError, ValueError) as error:
            raise errors.IntegrityError(f"The index of {bucket} cannot be read ({error}); do not trust this backup.") from error
        with self._lock:
            self._reached = position


class _Object:
    """One object on its way; what the target refuses is still checked, but goes nowhere."""

    def __init__(self, s3: Any, bucket: str, header: Header) -> None:
        self.header, self.refusal = header, ""
        self._upload: upload.Upload | None = None
        try:
            self._upload = upload.begin(s3, bucket, header)
        except upload.Refused as refusal:
            self.refusal = str(refusal)

    def add(self, piece: bytes) -> None:
        if self._upload:
            self._upload.add(piece)

    def finish(self, sha256: str) -> None:
        try:
            if self._upload:
                self._upload.finish(sha256)
        except upload.Refused as refusal:
            self.refusal = str(refusal)

    def abandon(self) -> None:
        if self._upload:
            self._upload.abandon()


def _compare(written: Mapping[str, Digest], found: Mapping[str, Digest]) -> None:
    empty = Multiset().digest()
    names = sorted(written.keys() | found.keys())
    if wrong := [name for name in names if written.get(name, empty) != found.get(name, empty)]:
        raise errors.VerificationFailed(f"Read back, {', '.join(wrong)} differ from what was restored; restore into a fresh target.")


def _require(condition: bool) -> None:
    if not condition:
        raise _malformed()


def _malformed() -> errors.IntegrityError:
    return errors.IntegrityError("A pack of objects is cut or out of order; do not trust this backup, use another one.")
