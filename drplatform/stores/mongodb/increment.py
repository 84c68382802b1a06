"""An incremental backup: the net change since a backup's end, so that its cost follows the documents touched, not the operations.

1. `begin` is noted. The oplog after the earlier backup, up to `begin`, tells which documents were touched, and how collections changed.
2. Window: the changes to collections, views and users go into the backup as operations, in their order; so do all operations on
   collections that have an order of their own (capped) or are kept without an index on `_id` (clustered, time-series), and on those in
   which more documents were touched than memory should hold.
3. Of all others, the `_id`s touched, and the documents that have them, read at some moment after `begin`. What is not found is gone.
4. The oplog from `begin` to the end makes all of it one state, exactly as in a full dump.

Applied in that order onto the state of the earlier backup, before any index is built. A document that was not touched is what it was.
"""

import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any

import bson
from bson.raw_bson import RawBSONDocument
from bson.timestamp import Timestamp

from drplatform.model import errors
from drplatform.model.ports import BLOCK_BYTES, DumpEnd, Part
from drplatform.model.position import Position
from drplatform.stores.mongodb import digest, dump, members, namespaces, oplog, raw, scan, window
from drplatform.stores.mongodb import wire as wires
from drplatform.stores.mongodb.catalogue import Collection
from drplatform.stores.mongodb.dump import MongoDump
from drplatform.stores.mongodb.members import Members
from drplatform.stores.mongodb.oplog import Entry
from drplatform.stores.mongodb.transactions import Unit
from drplatform.stores.mongodb.window import Window

WINDOW, TOUCHED, DOCUMENTS = "window", "touched", "documents"
STAGE_WINDOW, STAGE_TOUCHED, STAGE_DOCUMENTS, STAGE_LOG = 0, 1, 2, 3
MOST_TOUCHED = 1_000_000
"""Documents whose `_id`s are held at once, some 100 bytes each."""
_IDS_A_PART = 50_000
_IDS_A_READ = 1000


@contextmanager
def increment(of: Members, since: Position) -> Iterator["MongoIncrement"]:
    """Begin an incremental dump. Raises LogGap when it cannot continue there."""
    with dump.dump(of, since=since) as at_end:
        yield MongoIncrement(at_end, since)


@dataclass
class Touched:
    """By UUID, the encoded `_id`s of documents that operations were done to. `logged`: collections whose operations are kept instead."""

    kept: frozenset[bytes]
    logged: set[bytes]
    ids: dict[bytes, set[bytes]] = field(default_factory=dict)
    _held: int = 0

    def add(self, entry: Entry) -> None:
        uuid = entry.ui
        if uuid not in self.kept or uuid in self.logged or entry.op not in "iud":
            return
        identity = raw.id_of(entry.content(b"o2" if entry.op == "u" else b"o"))
        if identity is None:
            self._log(uuid)
            return
        ids = self.ids.setdefault(uuid, set())
        self._held -= len(ids)
        ids.add(identity)
        self._held += len(ids)
        if self._held > MOST_TOUCHED:
            self._log(max(self.ids, key=lambda each: len(self.ids[each])))

    def _log(self, uuid: bytes) -> None:
        self.logged.add(uuid)
        self._held -= len(self.ids.pop(uuid, ()))


class MongoIncrement:
    """See `ports.Dump`. `at_end` reads the catalogue and the oplog of the time that this takes, as a full dump does."""

    def __init__(self, at_end: MongoDump, since: Position) -> None:
        if since.timeline != at_end.timeline:
            raise errors.LogGap(f"This MongoDB is the set {at_end.timeline}, the last backup is of {since.timeline}; take a full backup.")
        if at_end.begin < since:
            raise errors.StoreError(
                f"The member of MongoDB that is read from is at {at_end.begin}, behind the last backup; wait, or read another."
            )
        self._dump, self._since = at_end, since
        self._lock = threading.Lock()
        self._strays: set[tuple[bytes, bytes]] = set()
        self._known = {c.uuid: c for c in at_end.collections}
        self._window = Window(at_end.dial, members.stamp(since), members.stamp(at_end.begin))
        self._touched = Touched(frozenset(self._known), {c.uuid for c in at_end.collections if _has_its_own_order(c)})

    def parts(self) -> Iterator[Part]:
        for unit in self._window.units():
            for entry in unit.operations:
                self._touched.add(entry)
        yield self._dump.counted(WINDOW, STAGE_WINDOW, self._window_blocks)
        pieces = [(uuid, number, ids) for uuid, found in self._touched.ids.items() for number, ids in enumerate(_cut(found))]
        for uuid, number, ids in pieces:
            name = f"{TOUCHED}/{uuid.hex()}/{number:05}"
            yield self._dump.counted(name, STAGE_TOUCHED, partial(dump.gathered, (raw.assemble([each]) for each in ids)))
        for uuid, number, ids in pieces:
            name = f"{DOCUMENTS}/{uuid.hex()}/{number:05}"
            yield self._dump.counted(name, STAGE_DOCUMENTS, partial(self._documents, self._known[uuid], ids))
        yield Part(dump.LOG, STAGE_LOG, self._dump.log_blocks)

    def finish(self) -> DumpEnd:
        """Digests are those of the structure alone: the content that was not touched is not read."""
        end = self._dump.require_end()
        calm = [c for c in self._dump.collections if c.uuid not in self._dump.touched and namespaces.content(c.namespace)]
        structures = {name: found for c in calm for name, found in digest.of_structure(c).items()}
        return DumpEnd(self._since, end, structures, self._counts())

    def _counts(self) -> dict[str, int]:
        counted = Counter({self._known[uuid].namespace: len(ids) for uuid, ids in self._touched.ids.items()})
        return {f"touched {name}": number for name, number in counted.items()}

    # -- the window -----------------------------------------------------------------------------------------------------------

    def _window_blocks(self) -> Iterator[bytes]:
        since, until = members.stamp(self._since), members.stamp(self._dump.begin)
        yield bson.encode({"drplatform": WINDOW, "timeline": self._since.timeline, "since": Timestamp(*since), "until": Timestamp(*until)})
        reached = since
        for entries in _gathered(self._kept(), BLOCK_BYTES):
            last = entries[-1].ts
            yield oplog.framed(self._since.timeline, reached, last, [window.as_applied(unit) for unit in entries])
            reached = last
        yield oplog.framed(self._since.timeline, reached, until, [])

    def _kept(self) -> Iterator[Unit]:
        """What goes into the backup as operations."""
        for unit in self._window.units():
            kept = tuple(entry for entry in unit.operations if entry.op == oplog.COMMAND or entry.ui in self._touched.logged)
            if kept:
                yield Unit(unit.ts, kept)

    # -- documents ------------------------------------------------------------------------------------------------------------

    def _documents(self, collection: Collection, ids: list[bytes]) -> Iterator[bytes]:
        with self._dump.dial() as wire:
            yield from dump.gathered(self._found(wire, collection, ids))

    def _found(self, wire: wires.Wire, collection: Collection, ids: list[bytes]) -> Iterator[bytes]:
        for wanted in reads(ids):
            missing = set(wanted)
            while missing:
                try:
                    for document in self._read(wire, collection, list(missing)):
                        if self._is_first(collection.uuid, raw.id_of(document) or b"", missing):
                            yield document
                    break
                except wires.ServerError as error:
                    if error.code not in scan.KILLED:
                        raise
                    if not self._dump.exists(wire, collection):
                        return

    def _is_first(self, uuid: bytes, identity: bytes, missing: set[bytes]) -> bool:
        """Whether the document is to be handed out here: equal numbers of different types find each other's documents.

        One that has an `_id` of its own among the touched is left to that; one that was replaced by an equal `_id` has none.
        """
        if identity in self._touched.ids[uuid]:
            found = identity in missing
            missing.discard(identity)
            return found
        with self._lock:
            found = (uuid, identity) not in self._strays
            self._strays.add((uuid, identity))
        return found

    def _read(self, wire: wires.Wire, collection: Collection, ids: list[bytes]) -> Iterator[bytes]:
        database, _ = namespaces.split(collection.namespace)
        command: dict[str, Any] = {"find": collection.selector, "filter": among(ids), "hint": {"_id": 1}, "batchSize": _IDS_A_READ}
        for batch in wire.batches(database, {**command, "readConcern": self._dump.concern(), "noCursorTimeout": True}):
            yield from raw.documents(batch)


def among(ids: Iterable[bytes]) -> RawBSONDocument:
    """A filter that finds the documents with these encoded `_id`s."""
    items = raw.assemble(each[:1] + b"%d\0" % number + each[len(b"\x00_id\0") :] for number, each in enumerate(ids))
    return RawBSONDocument(raw.assemble([b"\x03_id\0" + raw.assemble([b"\x04$in\0" + items])]))


def _has_its_own_order(collection: Collection) -> bool:
    return collection.capped or collection.clustered or namespaces.split(collection.namespace)[1].startswith("system.")


def _cut(ids: set[bytes]) -> Iterator[list[bytes]]:
    left = iter(sorted(ids))
    while piece := list(islice(left, _IDS_A_PART)):
        yield piece


def reads(ids: list[bytes]) -> Iterator[list[bytes]]:
    """At most so many at once, and few enough for one command."""
    waiting, size = list[bytes](), 0
    for each in ids:
        if waiting and (len(waiting) >= _IDS_A_READ or size + len(each) > BLOCK_BYTES):
            yield waiting
            waiting, size = [], 0
        waiting.append(each)
        size += len(each)
    if waiting:
        yield waiting


def _gathered(units: Iterator[Unit], most: int) -> Iterator[list[Unit]]:
    waiting, size = list[Unit](), 0
    for unit in units:
        waiting.append(unit)
        size += sum(len(entry.raw) for entry in unit.operations)
        if size >= most:
            yield waiting
            waiting, size = [], 0
    if waiting:
        yield waiting
