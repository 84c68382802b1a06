"""A restore of packs into the buckets of the target, verified three times: each object's content before it becomes visible, the packs
against the index of the backup, and the target against both by reading all of it back.

How a bucket is set up is restored around that: what concerns the storing of objects before them, all else after them.
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from drplatform.model import errors
from drplatform.model.backup import BASES, BackupKind, Digest, Multiset
from drplatform.model.clock import Clock
from drplatform.model.ports import RestoreEnd
from drplatform.model.position import Position
from drplatform.stores.files import arrival, configuration, digest, framing, index, listing, target, versions
from drplatform.stores.files import lease as leases
from drplatform.stores.files.configuration import Configuration
from drplatform.stores.files.content import Header, Tally
from drplatform.stores.files.index import Known, Record
from drplatform.stores.files.lease import Lease
from drplatform.stores.files.listing import Entry
from drplatform.stores.files.prune import prune

_PARTS = ("bucket", "content", "index", "versions")


@contextmanager
def restore(s3: Any, buckets: tuple[str, ...], clock: Clock, plan: str = "", again: bool = False) -> Iterator["FilesRestore"]:
    """Begin a restore; with `again`, one of the same plan that was cut off begins anew, and what it left is deleted.

    Raises TargetRefused, before anything is written or deleted, when the buckets are in use or another restore is at work.
    """
    if not leases.unfinished(s3, buckets[0]):
        target.refuse_live(s3, buckets, clock)
    with leases.held(s3, buckets[0], clock, plan, again) as lease, ExitStack() as stack:
        if lease.found:
            target.refuse_live(s3, buckets, clock)
            for bucket in buckets:
                arrival.wipe(s3, bucket, lambda key: listing.is_protected(Entry(key)))
        yield FilesRestore(s3, buckets, stack, lease)


@dataclass
class _Bucket:
    """What is known of one. `keeps`: older versions are written, too; else `why` not. `history`: those of the last backup."""

    wanted: Configuration = field(default_factory=Configuration)
    keeps: bool = False
    why: str = ""
    pruned: bool = False
    history: Known | None = None
    refused: dict[str, str] = field(default_factory=dict)


class FilesRestore:
    """See `ports.ResumedRestore`. Backups come in order, an increment after what it continues; of each, its packs before its index."""

    settled = False

    def __init__(self, s3: Any, buckets: tuple[str, ...], stack: ExitStack, lease: Lease) -> None:
        self._s3, self._buckets, self._stack, self._lease = s3, {bucket: _Bucket() for bucket in buckets}, stack, lease
        self._lock = threading.Lock()
        self._packed: dict[str, Tally] = {}
        self._expected: dict[str, dict[str, Digest]] = {}
        self._refused: dict[tuple[str, str, str], str] = {}
        self._lacking: dict[tuple[str, str, str], str] = {}
        self._met: dict[str, set[tuple[str, str, str]]] = {}
        self._reached: Position | None = None

    def done(self, part: str) -> int:
        """Nothing: a restore that was cut off begins anew."""
        return 0

    def load(self, kind: BackupKind, part: str, blocks: Iterator[bytes]) -> None:
        self._lease.require()
        if kind not in BASES | {BackupKind.INCREMENTAL}:
            raise errors.StoreError(f"Files are restored from full backups and increments, not from {kind}; choose another backup.")
        what, _, rest = part.partition("/")
        bucket = rest.split("/")[0]
        if what not in _PARTS:
            raise errors.IntegrityError(f"A backup of files has no part {part!r}; it was made by another version, use that one.")
        if bucket not in self._buckets:
            raise errors.StoreError(f"The backup holds the bucket {bucket}, the target has {', '.join(self._buckets)}; name it there too.")
        if what == "bucket":
            self._set_up(bucket, Configuration.of(blocks), first=kind is not BackupKind.INCREMENTAL)
        elif what == "content":
            self._load_pack(bucket, blocks)
        elif what == "index":
            self._load_index(bucket, blocks, drop_others=kind is BackupKind.INCREMENTAL or self._buckets[bucket].keeps)
        else:
            self._load_versions(bucket, blocks, pruned=kind is BackupKind.INCREMENTAL)

    def loaded(self, last: bool = False) -> None:
        """Raises IntegrityError when there are packs without an index, or nothing at all."""
        if self._reached is None or self._packed:
            raise _contradicted()

    def replay(self, blocks: Iterator[bytes], until: Position | None) -> None:
        raise errors.StoreError("Files have no continuous log; restore without one.")

    def finish(self) -> RestoreEnd:
        """Reads everything back. Raises VerificationFailed when the target does not hold what was written."""
        assert self._reached, "loaded() has checked it"
        self._lease.require()
        for name, bucket in self._buckets.items():
            if bucket.keeps and bucket.history and bucket.pruned:
                prune(self._s3, name, bucket.history)
        found = digest.measure(self._s3, tuple(self._buckets), self._listed)
        _compare({name: value for digests in self._expected.values() for name, value in digests.items()}, found.digests())
        words = [words for name in self._buckets for words in self._finish_bucket(name)]
        met = set[tuple[str, str, str]]().union(*self._met.values())
        words += [told[place] for told in (self._refused, self._lacking) for place in met if place in told]
        set_up = configuration.digests(self._s3, self._buckets)
        words += filter(None, [self._lease.release()])
        return RestoreEnd(self._reached, {**found.digests(), **set_up}, found.counts(), tuple(sorted(words)))

    def _set_up(self, name: str, wanted: Configuration, *, first: bool) -> None:
        """Have the bucket store objects as the source did."""
        bucket = self._buckets[name]
        if first and "versioning" in wanted.aspects and versions.any_older(self._s3, name):
            bucket.why = "the target holds older versions of its own"
        bucket.wanted = wanted
        early = dict(wanted.aspects)
        early |= {"versioning": "Enabled"} if "versioning" in early else {}
        bucket.refused |= configuration.apply(self._s3, name, Configuration(early), configuration.EARLY)
        bucket.why = "versioning is not taken" if "versioning" in bucket.refused else bucket.why
        bucket.keeps = "versioning" in early and not bucket.why

    def _finish_bucket(self, name: str) -> Iterator[str]:
        """Set what comes after the objects, and say all that the target did not take, or has beside."""
        bucket = self._buckets[name]
        suspended = ("versioning",) if bucket.wanted.aspects.get("versioning") == "Suspended" else ()
        bucket.refused |= configuration.apply(self._s3, name, bucket.wanted, (*configuration.late(), *suspended))
        yield from bucket.refused.values()
        yield from configuration.differences(name, bucket.wanted, configuration.read(self._s3, name), bucket.refused)
        if bucket.history and not bucket.keeps and (count := bucket.history.count()):
            yield f"{name}: {count} older versions of objects: {bucket.why or 'versioning is not in the backup'}"

    def _listed(self, s3: Any, name: str) -> Iterator[listing.Entry]:
        bucket = self._buckets[name]
        if bucket.keeps and bucket.history:
            return versions.entries(s3, name, listing.is_protected)
        return listing.protected(s3, name)

    def _load_pack(self, bucket: str, blocks: Iterator[bytes]) -> None:
        def takes(header: Header) -> bool:
            return not header.age or self._buckets[bucket].keeps

        for arrived in arrival.arrive(self._s3, bucket, framing.events(blocks), takes):
            header = arrived.header
            place = bucket, header.key, header.version
            with self._lock:
                tally = self._packed.setdefault((index.VERSIONS if header.age else index.PREFIX) + bucket, Tally())
                self._note(self._refused, place, f"{bucket}/{arrived.refusal}" if arrived.refusal else "")
                self._note(self._lacking, place, f"{bucket}/{arrived.lacks}" if arrived.lacks else "")
            tally.add(bucket, header, arrived.sha256)

    @staticmethod
    def _note(told: dict[tuple[str, str, str], str], place: tuple[str, str, str], words: str) -> None:
        told.pop(place, None)
        if words:
            told[place] = words

    def _load_index(self, bucket: str, blocks: Iterator[bytes], *, drop_others: bool) -> None:
        with Known() as known:
            self._take(index.PREFIX + bucket, blocks, known)
            if drop_others:
                arrival.delete_others(self._s3, bucket, known)

    def _load_versions(self, name: str, blocks: Iterator[bytes], *, pruned: bool) -> None:
        bucket, history = self._buckets[name], self._stack.enter_context(Known())
        self._take(index.VERSIONS + name, blocks, history, counted=bucket.keeps)
        bucket.history, bucket.pruned = history, pruned

    def _take(self, part: str, blocks: Iterator[bytes], known: Known, *, counted: bool = True) -> None:
        """Raises IntegrityError when the packs of this backup do not hold what it lists as theirs."""
        bucket = index.bucket_of(part)
        position, records = index.read(blocks)
        fresh, expected, met = Tally(), Tally(), set[tuple[str, str, str]]()
        known.add(bucket, self._counted(bucket, records, fresh, expected, met) if counted else records)
        with self._lock:
            packed = self._packed.pop(part, Tally())
            self._expected[part], self._met[part], self._reached = expected.digests(), met, position
        if counted and fresh.digests() != packed.digests():
            raise _contradicted()

    def _counted(
        self, bucket: str, records: Iterator[Record], fresh: Tally, expected: Tally, met: set[tuple[str, str, str]]
    ) -> Iterator[Record]:
        for record in records:
            header = record.header
            if record.part:
                fresh.add(bucket, header, record.sha256)
            place = bucket, header.key, header.version
            if place in self._refused or place in self._lacking:
                met.add(place)
            if place not in self._refused:
                expected.add(bucket, arrival.without_list(header) if place in self._lacking else header, record.sha256)
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
