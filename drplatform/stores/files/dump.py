"""A dump: one pass over each bucket, packs of objects first (stage 0), then an index of what the bucket holds (stage 1).

Parts: `content/<bucket>/<number>` in the format of `framing`, and `index/<bucket>` in the format of `index`. The index comes last because
only then is known what was read; it is kept meanwhile in an unnamed temporary file (names and metadata, no content). A restore checks
the packs against it.
With the previous backup's index at hand the dump is an increment: what the listing shows to be the same object is not read again. A
listing does not show when nothing but tags changed; a full dump does.
"""

import functools
import itertools
import json
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import IO, Any

from drplatform.model import errors, ports
from drplatform.model.ports import DumpEnd, Part
from drplatform.model.position import Position
from drplatform.stores.files import content, digest, framing, index, listing
from drplatform.stores.files.content import End, Event, Header, Tally, Void
from drplatform.stores.files.index import Known, Record

PACK_BYTES = 32 * 1024 * 1024
PACK_OBJECTS = 500
SMALL_BYTES = 64 * 1024
"""Objects up to this are read ahead, several at once: with them it is the requests that take the time."""


@dataclass(frozen=True)
class Previous:
    """The backup that an increment continues."""

    known: Known
    position: Position


@contextmanager
def dump(s3: Any, buckets: tuple[str, ...], position: Position) -> Iterator["FilesDump"]:
    """A dump of what the buckets hold from now on; `position` was taken just before."""
    with _spools(buckets) as spools:
        yield FilesDump(s3, position, spools, None)


@contextmanager
def increment(s3: Any, buckets: tuple[str, ...], position: Position, parts: ports.BackupParts) -> Iterator["FilesDump"]:
    """A dump of what changed since the backup of which these are the parts. Raises IntegrityError when that is of other buckets."""
    with _spools(buckets) as spools, Known() as known:
        since = index.remember(parts, known)
        if since > position:
            raise errors.IntegrityError(
                f"The previous backup is of {since}, later than now ({position}); mend the clock, or take a full one."
            )
        yield FilesDump(s3, position, spools, Previous(known, since))


class FilesDump:
    """See `ports.Dump`."""

    def __init__(self, s3: Any, position: Position, spools: Mapping[str, IO[bytes]], previous: Previous | None) -> None:
        self._s3, self._position, self._spools, self._previous = s3, position, spools, previous
        self._tally, self._lock = Tally(), threading.Lock()
        self._carried = 0

    def parts(self) -> Iterator[Part]:
        """Lazy: a bucket is listed as its packs are taken."""
        for bucket in self._spools:
            self._tally.open(bucket)
            for number, entries in enumerate(_packs(self._fresh(bucket))):
                name = f"content/{bucket}/{number:06d}"
                yield Part(name, 0, functools.partial(self._pack, bucket, name, entries))
        for bucket in self._spools:
            yield Part(f"index/{bucket}", 1, functools.partial(self._index, bucket))

    def finish(self) -> DumpEnd:
        """`unchanged` counts the objects that were not read again."""
        begin = self._previous.position if self._previous else self._position
        counts = self._tally.counts()
        return DumpEnd(begin, self._position, self._tally.digests(), {**counts, "unchanged": self._carried} if self._previous else counts)

    def _fresh(self, bucket: str) -> Iterator[listing.Entry]:
        """What must be read; what need not is noted."""
        for entry in listing.protected(self._s3, bucket):
            known = self._unchanged(bucket, entry)
            if known is None:
                yield entry
            else:
                self._carried += 1
                self._note(bucket, "", known.header, known.sha256)

    def _unchanged(self, bucket: str, entry: listing.Entry) -> Record | None:
        if self._previous is None or entry.modified >= self._previous.position.at - index.RACY_SECONDS:
            return None
        known = self._previous.known.find(bucket, entry.key)
        return known if known and known.is_of(entry) else None

    def _pack(self, bucket: str, part: str, entries: list[listing.Entry]) -> Iterator[bytes]:
        return framing.blocks(event for events in self._read(bucket, entries) for event in self._noted(bucket, part, events))

    def _read(self, bucket: str, entries: list[listing.Entry]) -> Iterator[Iterator[Event]]:
        for small, run in itertools.groupby(entries, key=lambda entry: entry.size <= SMALL_BYTES):
            if small:
                yield from map(iter, digest.in_parallel(run, lambda entry: list(content.read(self._s3, bucket, entry.key))))
            else:
                yield from (content.read(self._s3, bucket, entry.key) for entry in run)

    def _noted(self, bucket: str, part: str, events: Iterator[Event]) -> Iterator[Event]:
        """The events, each object that came whole being noted in the index."""
        header: Header | None = None
        for event in events:
            match event:
                case Header():
                    header = event
                case Void():
                    header = None
                case End() if header:
                    self._note(bucket, part, header, event.sha256)
            yield event

    def _note(self, bucket: str, part: str, header: Header, sha256: str) -> None:
        self._tally.add(bucket, header, sha256)
        with self._lock:
            self._spools[bucket].write(Record(header, sha256, part).line())

    def _index(self, bucket: str) -> Iterator[bytes]:
        held = bytearray(json.dumps(self._position.to_json()).encode() + b"\n")
        spool = self._spools[bucket]
        spool.seek(0)
        for line in spool:
            if len(held) + len(line) > ports.BLOCK_BYTES:
                yield bytes(held)
                held.clear()
            held += line
        yield bytes(held)


@contextmanager
def _spools(buckets: tuple[str, ...]) -> Iterator[dict[str, IO[bytes]]]:
    with ExitStack() as files:
        yield {bucket: files.enter_context(tempfile.TemporaryFile("w+b")) for bucket in buckets}


def _packs(entries: Iterator[listing.Entry]) -> Iterator[list[listing.Entry]]:
    pack, size = list[listing.Entry](), 0
    for entry in entries:
        pack.append(entry)
        size += entry.size
        if size >= PACK_BYTES or len(pack) >= PACK_OBJECTS:
            yield pack
            pack, size = [], 0
    if pack:
        yield pack
