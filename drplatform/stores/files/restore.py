"""A restore of packs into the buckets of the target, verified three times: each object's content before it becomes visible, the packs
against the index of the backup, and the target against both by reading all of it back."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from drplatform.model import errors
from drplatform.model.backup import BASES, BackupKind, Digest, Multiset
from drplatform.model.ports import RestoreEnd
from drplatform.model.position import Position
from drplatform.stores.files import arrival, digest, framing, index, listing
from drplatform.stores.files.content import Tally
from drplatform.stores.files.index import Known, Record


@contextmanager
def restore(s3: Any, buckets: tuple[str, ...]) -> Iterator["FilesRestore"]:
    yield FilesRestore(s3, buckets)


class FilesRestore:
    """See `ports.Restore`. Backups come in order, an increment after what it continues; of each, its packs before its index."""

    def __init__(self, s3: Any, buckets: tuple[str, ...]) -> None:
        self._s3, self._buckets = s3, buckets
        self._lock = threading.Lock()
        self._packed: dict[str, Tally] = {}
        self._expected: dict[str, dict[str, Digest]] = {}
        self._refused: dict[tuple[str, str], str] = {}
        self._reached: Position | None = None

    def load(self, kind: BackupKind, part: str, blocks: Iterator[bytes]) -> None:
        if kind not in BASES | {BackupKind.INCREMENTAL}:
            raise errors.StoreError(f"Files are restored from full backups and increments, not from {kind}; choose another backup.")
        what, _, rest = part.partition("/")
        bucket = rest.split("/")[0]
        if what not in ("content", "index"):
            raise errors.IntegrityError(f"A backup of files has no part {part!r}; it was made by another version, use that one.")
        if bucket not in self._buckets:
            raise errors.StoreError(f"The backup holds the bucket {bucket}, the target has {', '.join(self._buckets)}; name it there too.")
        if what == "content":
            self._load_pack(bucket, blocks)
        else:
            self._load_index(bucket, blocks, drop_others=kind is BackupKind.INCREMENTAL)

    def loaded(self) -> None:
        """Raises IntegrityError when there are packs without an index, or nothing at all."""
        if self._reached is None or self._packed:
            raise _contradicted()

    def replay(self, blocks: Iterator[bytes], until: Position | None) -> None:
        raise errors.StoreError("Files have no continuous log; restore without one.")

    def finish(self) -> RestoreEnd:
        """Reads everything back. Raises VerificationFailed when the target does not hold what was written."""
        assert self._reached, "loaded() has checked it"
        found = digest.measure(self._s3, self._buckets, listing.protected)
        _compare({name: value for digests in self._expected.values() for name, value in digests.items()}, found.digests())
        return RestoreEnd(self._reached, found.digests(), found.counts(), tuple(sorted(self._refused.values())))

    def _load_pack(self, bucket: str, blocks: Iterator[bytes]) -> None:
        for arrived in arrival.arrive(self._s3, bucket, framing.events(blocks)):
            with self._lock:
                tally = self._packed.setdefault(bucket, Tally())
                place = bucket, arrived.header.key
                self._refused.pop(place, None)
                if arrived.refusal:
                    self._refused[place] = f"{bucket}/{arrived.refusal}"
            tally.add(bucket, arrived.header, arrived.sha256)

    def _load_index(self, bucket: str, blocks: Iterator[bytes], *, drop_others: bool) -> None:
        """Raises IntegrityError when the packs of this backup do not hold what it lists as theirs."""
        with Known() as known:
            position, records = index.read(blocks)
            fresh, expected = Tally(), Tally()
            known.add(bucket, self._counted(bucket, records, fresh, expected))
            if fresh.digests() != self._packed.pop(bucket, Tally()).digests():
                raise _contradicted()
            if drop_others:
                arrival.delete_others(self._s3, bucket, known)
            gone = {place for place in self._refused if place[0] == bucket and not known.holds(*place)}
        with self._lock:
            self._refused = {place: words for place, words in self._refused.items() if place not in gone}
            self._expected[bucket], self._reached = expected.digests(), position

    def _counted(self, bucket: str, records: Iterator[Record], fresh: Tally, expected: Tally) -> Iterator[Record]:
        for record in records:
            if record.part:
                fresh.add(bucket, record.header, record.sha256)
            if (bucket, record.header.key) not in self._refused:
                expected.add(bucket, record.header, record.sha256)
            yield record


def _compare(written: Mapping[str, Digest], found: Mapping[str, Digest]) -> None:
    empty = Multiset().digest()
    names = sorted(written.keys() | found.keys())
    if wrong := [name for name in names if written.get(name, empty) != found.get(name, empty)]:
        raise errors.VerificationFailed(f"Read back, {', '.join(wrong)} differ from what was restored; restore into a fresh target.")


def _contradicted() -> errors.IntegrityError:
    return errors.IntegrityError(
        "The packs of this backup do not hold what its index lists; do not trust this backup, use another one, in a fresh target."
    )
