"""A dump: how each bucket is set up (stage 0), packs of objects (stage 1), then an index of what the bucket holds (stage 2).

Parts: `bucket/<bucket>` as `configuration` says, `content/<bucket>/<number>` in the format of `framing`, `index/<bucket>` and, of a bucket
that keeps versions, `versions/<bucket>` in the format of `index`. The index comes last because only then is known what was read; it is
kept meanwhile in an unnamed temporary file (names and metadata, no content). A restore checks the packs against it. All versions of an
object stand in one pack, the oldest first.
With the previous backup's index at hand the dump is an increment: what the listing shows to be the same object is not read again. A
listing does not show when nothing but tags changed; a full dump does.
"""

import functools
import itertools
import json
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import IO, Any

from drplatform.model import errors, ports
from drplatform.model.ports import DumpEnd, Part
from drplatform.model.position import Position
from drplatform.stores.files import configuration, content, digest, framing, grants, index, listing, versions
from drplatform.stores.files.configuration import Configuration
from drplatform.stores.files.content import End, Event, Header, Tally, Void
from drplatform.stores.files.index import Known, Record, Walk

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
def dump(s3: Any, buckets: tuple[str, ...], position: Position, older: bool = True) -> Iterator["FilesDump"]:
    """A dump of what the buckets hold from now on, with `older` versions; `position` was taken just before."""
    with _spools(_indexes(s3, buckets, older)) as spools:
        yield FilesDump(s3, position, spools, None)


@contextmanager
def increment(s3: Any, buckets: tuple[str, ...], position: Position, parts: ports.BackupParts, older: bool = True) -> Iterator["FilesDump"]:
    """A dump of what changed since the backup of which these are the parts. Raises IntegrityError when that is of other buckets."""
    with _spools(_indexes(s3, buckets, older)) as spools, Known() as known:
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
        self._configurations: dict[str, Configuration] = {}
        self._carried = 0

    def parts(self) -> Iterator[Part]:
        """Lazy: a bucket is listed as its packs are taken."""
        buckets = [name.removeprefix(index.PREFIX) for name in self._spools if name.startswith(index.PREFIX)]
        for bucket in buckets:
            yield Part(configuration.PREFIX + bucket, 0, functools.partial(self._configured, bucket))
        for bucket in buckets:
            self._tally.open(bucket)
            listed = grants.in_use(self._s3, bucket)
            for number, entries in enumerate(_packs(self._fresh(bucket))):
                name = f"content/{bucket}/{number:06d}"
                yield Part(name, 1, functools.partial(self._pack, bucket, name, entries, listed))
        for name in self._spools:
            yield Part(name, 2, functools.partial(self._index, name))

    def finish(self) -> DumpEnd:
        """`unchanged` counts the objects that were not read again."""
        begin = self._previous.position if self._previous else self._position
        counts = self._tally.counts()
        set_up = {bucket + configuration.DIGEST_SUFFIX: each.digest() for bucket, each in self._configurations.items() if each.aspects}
        unread = sum(len(each.unreadable) for each in self._configurations.values())
        counts |= {"unchanged": self._carried} if self._previous else {}
        counts |= {configuration.UNREAD: unread} if unread else {}
        return DumpEnd(begin, self._position, {**self._tally.digests(), **set_up}, counts)

    def _configured(self, bucket: str) -> Iterator[bytes]:
        self._configurations[bucket] = found = configuration.read(self._s3, bucket)
        yield found.block()

    def _fresh(self, bucket: str) -> Iterator[listing.Entry]:
        """What must be read; what need not is noted."""
        if self._previous is None:
            yield from self._entries(bucket)
            return
        previous, walk = self._previous, Walk(self._previous.known, bucket)
        for entry in self._entries(bucket):
            racy = entry.modified >= previous.position.at - index.RACY_SECONDS
            if entry.version:
                carried = self._carry_version(bucket, entry, previous.known, racy)
            else:
                carried = not racy and self._carry(bucket, entry, walk)
            if carried:
                self._carried += 1
            else:
                yield entry

    def _entries(self, bucket: str) -> Iterator[listing.Entry]:
        if index.VERSIONS + bucket in self._spools:
            return versions.entries(self._s3, bucket, listing.is_protected)
        return listing.protected(self._s3, bucket)

    def _carry(self, bucket: str, entry: listing.Entry, walk: Walk) -> bool:
        """Note an object that did not change; False: it must be read. There may be a million of them, so each takes no more than it must."""
        line = walk.line(entry.key)
        if line is None or not line.is_of(entry):
            return False
        line.count(self._tally, bucket)
        self._write(index.PREFIX + bucket, line.carried())
        return True

    def _carry_version(self, bucket: str, entry: listing.Entry, known: Known, racy: bool) -> bool:
        """The same of a version. One that has a name cannot change, another one may have in the same tick of the clock."""
        named = entry.version != "null"
        if racy and not named:
            return False
        for each in known.versions(bucket, entry.key):
            if each.header.version == entry.version if named else each.is_of(entry):
                self._note(bucket, "", replace(each.header, age=entry.age), each.sha256)
                return True
        return False

    def _pack(self, bucket: str, part: str, entries: list[listing.Entry], listed: bool) -> Iterator[bytes]:
        read = functools.partial(content.read, self._s3, bucket, listed=listed)
        return framing.blocks(event for events in _read(read, entries) for event in self._noted(bucket, part, events))

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
        self._write((index.VERSIONS if header.age else index.PREFIX) + bucket, Record(header, sha256, part).line())

    def _write(self, name: str, line: bytes) -> None:
        with self._lock:
            self._spools[name].write(line)

    def _index(self, name: str) -> Iterator[bytes]:
        held = bytearray(json.dumps(self._position.to_json()).encode() + b"\n")
        spool = self._spools[name]
        spool.seek(0)
        for line in spool:
            if len(held) + len(line) > ports.BLOCK_BYTES:
                yield bytes(held)
                held.clear()
            held += line
        yield bytes(held)


def _indexes(s3: Any, buckets: tuple[str, ...], older: bool) -> list[str]:
    """The names of the parts that say what there is."""
    indexes = [index.PREFIX + bucket for bucket in buckets]
    return indexes + [index.VERSIONS + bucket for bucket in buckets if older and versions.kept(s3, bucket)]


@contextmanager
def _spools(names: list[str]) -> Iterator[dict[str, IO[bytes]]]:
    with ExitStack() as files:
        yield {name: files.enter_context(tempfile.TemporaryFile("w+b")) for name in names}


def _read(read: Callable[[listing.Entry], Iterator[Event]], entries: list[listing.Entry]) -> Iterator[Iterator[Event]]:
    for small, run in itertools.groupby(entries, key=lambda entry: entry.size <= SMALL_BYTES):
        if small:
            yield from map(iter, digest.in_parallel(run, lambda entry: list(read(entry))))
        else:
            yield from map(read, run)


def _packs(entries: Iterator[listing.Entry]) -> Iterator[list[listing.Entry]]:
    """The versions of an object are not parted: they are written one after another."""
    pack, size = list[listing.Entry](), 0
    for entry in entries:
        if (size >= PACK_BYTES or len(pack) >= PACK_OBJECTS) and pack[-1].key != entry.key:
            yield pack
            pack, size = [], 0
        pack.append(entry)
        size += entry.size
    if pack:
        yield pack
