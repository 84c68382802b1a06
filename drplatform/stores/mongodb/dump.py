"""A full dump: the documents of every collection as raw BSON, and the oplog of the time that it took.

How it becomes consistent. All reads go to one member and have read concern majority, so that nothing is read that could be undone.
1. `base` is noted, then the oldest transaction that is still open, then `begin`: every read from here on sees at least `begin`.
2. The catalogue and the documents are read while clients write; each document is seen at some moment after `begin`.
3. When all of them are read, `end` is noted, and the oplog from `base` (or that transaction's beginning) to `end` becomes the last part.
Applied onto the documents, it makes of every document what it was at `end`: each operation after `begin` is repeated, and repeating is
harmless because the later ones follow (initial sync of a new member works the same way). Operations up to `begin` are in the log only
for transactions that began before and commit after it.

The last part is made when it is read, and its reading waits until all others were read: so it does not matter in how many threads the
parts are read, as long as they are begun in order.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any

import bson
from bson.timestamp import Timestamp

from drplatform.model import errors
from drplatform.model.ports import BLOCK_BYTES, DumpEnd, Part
from drplatform.model.position import Position
from drplatform.stores.mongodb import catalogue, chosen, contents, digest, members, namespaces, oplog, raw, scan
from drplatform.stores.mongodb import wire as wires
from drplatform.stores.mongodb.catalogue import Collection
from drplatform.stores.mongodb.chosen import Chosen
from drplatform.stores.mongodb.contents import Tally
from drplatform.stores.mongodb.members import Members, Stamp
from drplatform.stores.mongodb.scan import Scan
from drplatform.stores.mongodb.wire import Wire

CATALOGUE, LOG = "catalogue", "oplog"
STAGE_CATALOGUE, STAGE_DATA, STAGE_LOG = 0, 1, 2


def namespace_of(part: str) -> str:
    """Which collection a part with documents is of."""
    return part.removeprefix("data/").rpartition("/")[0]


@contextmanager
def dump(of: Members, only: Chosen | None = None, since: Position | None = None) -> Iterator["MongoDump"]:
    """Begin a dump of the member that is best to read from; `only`: of chosen collections alone; `since`: from where its log is wanted, too."""
    with of.best(since=since) as wire:
        running = MongoDump(of, wire, only)
        try:
            yield running
        finally:
            running.closed.set()


class MongoDump:
    """See `ports.Dump`."""

    def __init__(self, of: Members, wire: Wire, only: Chosen | None = None) -> None:
        self._wire, self._clock, self._only = wire, of.clock, only
        self.closed = threading.Event()
        self.timeline = members.identity(wire)
        base = members.position(wire, of.clock, self.timeline).sequence
        self._from, self._inclusive = _log_start(wire, (base[0], base[1]))
        self.begin = members.position(wire, of.clock, self.timeline)
        self.collections = chosen.among(only, catalogue.read(wire))
        self._tallies = dict[bytes, Tally]()
        self._last_blocks = dict[bytes, bytes]()
        self._lock = threading.Condition()
        self._unread = 0
        self.touched: set[bytes] = set()
        self.end: Stamp | None = None

    # -- parts ----------------------------------------------------------------------------------------------------------------

    def parts(self) -> Iterator[Part]:
        yield self.counted(CATALOGUE, STAGE_CATALOGUE, self._catalogue_blocks)
        for number, collection in enumerate(self.collections):
            self._tallies[collection.uuid] = Tally()
            for piece, stretch in enumerate(self._stretches(collection)):
                name = f"data/{collection.namespace}/{number:05}-{piece:05}"
                yield self.counted(name, STAGE_DATA, partial(self._read, stretch))
        yield Part(LOG, STAGE_LOG, self.log_blocks)

    def finish(self) -> DumpEnd:
        """Digests are those of the structure alone: those of the content are made of the same blocks when they are loaded (see `contents`)."""
        end = self.require_end()
        calm = [c for c in self.collections if c.uuid not in self.touched and namespaces.content(c.namespace)]
        structures = {name: found for c in calm for name, found in digest.of_structure(c).items()}
        return DumpEnd(self.begin, end, structures, {c.namespace: self._tallies[c.uuid].documents for c in calm})

    def require_end(self) -> Position:
        """Where the dump ended. Raises StoreError when its last part was not read."""
        if self.end is None:
            raise errors.StoreError("The dump of MongoDB was not read to its end; take another one.")
        return members.at(self.timeline, self.end)

    def counted(self, name: str, stage: int, blocks: Callable[[], Iterator[bytes]]) -> Part:
        """A part that tells when it was read."""
        with self._lock:
            self._unread += 1

        def read() -> Iterator[bytes]:
            yield from blocks()
            with self._lock:
                self._unread -= 1
                self._lock.notify_all()

        return Part(name, stage, read)

    def _catalogue_blocks(self) -> Iterator[bytes]:
        yield from gathered(c.to_bson() for c in self.collections)

    # -- documents ------------------------------------------------------------------------------------------------------------

    def dial(self) -> Wire:
        return self._wire.another().within(wires.LONG)

    def _stretches(self, collection: Collection) -> list[Scan]:
        with self.dial() as wire:
            stats = scan.measured(wire, collection)
            places = scan.places(wire, collection, stats)
        whole = Scan(collection, scan.batch_size(stats), self.dial, self.concern(), partial(self.exists, collection=collection))
        return [replace(whole, low=low, high=high) for low, high in pairwise((b"", *places, b""))]

    def _read(self, stretch: Scan) -> Iterator[bytes]:
        tally, collection = Tally(), stretch.collection
        for block, items in stretch.blocks():
            tally.dumped(block, items)
            if collection.capped:
                self._last_blocks[collection.uuid] = block
            yield block
        with self._lock:
            self._tallies[collection.uuid].merge(tally)

    def concern(self) -> Mapping[str, Any]:
        return {"level": "majority", "afterClusterTime": Timestamp(*self.begin.sequence)}

    def exists(self, wire: Wire, collection: Collection) -> bool:
        database, _ = namespaces.split(collection.namespace)
        command = {"listCollections": 1, "filter": {"info.uuid": collection.selector}}
        return any(True for _ in wire.documents(database, command))

    # -- the log --------------------------------------------------------------------------------------------------------------

    def log_blocks(self) -> Iterator[bytes]:
        self._await_others()
        with self.dial() as wire:
            end = members.position(wire, self._clock, self.timeline).sequence
            self.end = end[0], end[1]
            yield self._head(wire, self.end)
            yield from self._log(wire, self.end)

    def _await_others(self) -> None:
        with self._lock:
            while self._unread:
                if self.closed.is_set():
                    raise errors.StoreError("The dump of MongoDB was given up before all its parts were read; take another one.")
                self._lock.wait(0.1)

    def _head(self, wire: Wire, end: Stamp) -> bytes:
        cuts = [{"uuid": bson.Binary(uuid, 4), "until": Timestamp(*cut)} for uuid, cut in self._cuts(wire, end).items()]
        fields = {"drplatform": "overlay", "timeline": self.timeline, "begin": Timestamp(*self.begin.sequence)}
        encoded: bytes = bson.encode({**fields, "end": Timestamp(*end), "cuts": cuts, contents.CONTENTS: contents.head(self._tallies)})
        return encoded

    def _cuts(self, wire: Wire, end: Stamp) -> dict[bytes, Stamp]:
        """For capped collections the entry that inserted the last document read: earlier inserts must not be repeated.

        What was pushed out before it was read would come back at the end otherwise, and push others out.
        """
        last = {uuid: scan.last_id(block) for uuid, block in self._last_blocks.items()}
        if not last:
            return {}
        window = {"$gt": Timestamp(*self.begin.sequence), "$lte": Timestamp(*end)}
        wanted = {"ts": window, "op": "i", "ui": {"$in": [bson.Binary(uuid, 4) for uuid in last]}}
        found = dict[bytes, Stamp]()
        for batch in wire.batches("local", {"find": "oplog.rs", "filter": wanted, "readConcern": {"level": "majority"}}):
            for entry in map(oplog.Entry, raw.documents(batch)):
                if raw.id_of(entry.content(b"o")) == last[entry.ui]:
                    found[entry.ui] = entry.ts
        return found

    def _log(self, wire: Wire, end: Stamp) -> Iterator[bytes]:
        """Frames of the log. Raises LogGap when the oplog does not reach back to where the dump began."""
        command = {"find": "oplog.rs", "filter": {"ts": {"$gte": Timestamp(*self._from), "$lte": Timestamp(*end)}}}
        reached: Stamp | None = None
        for batch in wire.batches("local", {**command, "readConcern": {"level": "majority"}, "noCursorTimeout": True}):
            documents = list(raw.documents(batch))
            if reached is None:
                reached, documents = self._first(documents)
            entries, last = oplog.without_noops(documents)
            self._note(entries)
            yield oplog.framed(self.timeline, reached, last or reached, chosen.of_log(self._only, entries))
            reached = last or reached
        if reached is None or reached < end:
            raise errors.LogGap("The MongoDB oplog could not be read up to the end of the dump; take another one.")

    def _first(self, documents: list[bytes]) -> tuple[Stamp, list[bytes]]:
        if not documents or oplog.Entry(documents[0]).ts != self._from:
            raise errors.LogGap(
                "The dump of MongoDB took longer than its oplog reaches back; enlarge the oplog (replSetResizeOplog), then take another one."
            )
        if self._inclusive:
            return (self._from[0], self._from[1] - 1), documents
        return self._from, documents[1:]

    def _note(self, entries: list[bytes]) -> None:
        """Remember the collections whose content was still changing: what was read of them is not what they are at the end."""
        for entry in map(oplog.Entry, entries):
            self.touched.add(entry.ui)
            if entry.op == oplog.COMMAND:
                if entry.verb == "applyOps":
                    self.touched.update(inner.ui for inner in oplog.inner_operations(entry))
                elif isinstance(dropped := entry.told(b"dropTarget"), bytes):
                    self.touched.add(bytes(dropped))  # the collection that had the name before a rename


def _log_start(wire: Wire, base: Stamp) -> tuple[Stamp, bool]:
    """Where the log must begin, and whether with that entry: the oldest entry of a transaction that is open now, or after `base`."""
    open_now = {"find": "transactions", "filter": {"state": {"$in": ["prepared", "inProgress"]}}}
    starts = [t["startOpTime"]["ts"] for t in wire.documents("config", open_now) if t.get("startOpTime")]
    oldest = min(((s.time, s.inc) for s in starts), default=base)
    return (oldest, True) if oldest < base else (base, False)


def gathered(documents: Iterator[bytes]) -> Iterator[bytes]:
    """Documents joined to blocks."""
    waiting, size = list[bytes](), 0
    for document in documents:
        waiting.append(document)
        size += len(document)
        if size >= BLOCK_BYTES:
            yield b"".join(waiting)
            waiting, size = [], 0
    if waiting:
        yield b"".join(waiting)
