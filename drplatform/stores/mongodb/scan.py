"""The reading of a collection, cut into stretches that are read at the same time, each in the order in which the server keeps the documents.

That order costs the server least (an index is walked three times as slowly, and leads all over the disk where `_id`s are random), and it
does not depend on `_id`s, of whatever types they are. A document keeps its place when it is updated. One that is deleted and inserted again
while its collection is read may be read twice, once as each; the log of the dump holds both operations, so either will do.

A large collection is cut into about equal parts: by counting, where nearly all places between the first and the last are taken, else where a
random sample of its documents says. Any places would do: what was inserted or deleted since only makes stretches longer or shorter.
"""

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import bson
from bson.raw_bson import RawBSONDocument

from drplatform.model.ports import BLOCK_BYTES
from drplatform.stores.mongodb import namespaces, raw
from drplatform.stores.mongodb import wire as wires
from drplatform.stores.mongodb.catalogue import Collection
from drplatform.stores.mongodb.wire import Wire

PART_BYTES = 16 * 1024 * 1024
"""So that also collections of some dozens of MB are read, and loaded again, by several threads."""
MOST_PARTS = 4
READ_BYTES = 2 * 1024 * 1024
"""A quarter of a block: the server reads on while one is on its way. At 100 MB on a busy machine best or near it of 0.5, 1, 2 and 8 MiB; not so at 400."""
KILLED = frozenset({175, 26, 43, 237, 11601})
"""QueryPlanKilled, NamespaceNotFound, CursorNotFound, CursorKilled, Interrupted: a drop or a rename does this to a reader."""
_MOST_SAMPLED = 100
_SAMPLED_OF = 20
"""The server takes a sample without reading the whole collection when it is at most so small a part of it."""
_DENSE = 0.9
"""Of so large a share of places taken, equal numbers of places are about equal parts."""
_TRIED = 8
"""Places that are looked at for one that is taken."""
_KEY_NOT_FOUND = 211
_IN_PLACE = {"hint": {"$natural": 1}, "$_requestResumeToken": True}
"""In the order in which the server keeps documents, with where to read on."""
_RECORD_ID = b"\x12$recordId\0"
_LONG = struct.Struct("<q")


class Block(NamedTuple):
    """Concatenated documents, and how many."""

    documents: bytes
    items: int


@dataclass(frozen=True)
class Scan:
    """What of a collection is kept after `low` (where it is kept in the order of `_id`: from it on) and up to `high`; empty: all there is.

    `size` documents are read at once. `concern`: the read concern; `exists`: whether the collection is still there.
    """

    collection: Collection
    size: int
    dial: Callable[[], Wire]
    concern: Mapping[str, Any]
    exists: Callable[[Wire], bool]
    low: bytes = b""
    high: bytes = b""

    def blocks(self) -> Iterator[Block]:
        return _gathered(self._clustered() if self.collection.clustered else self._natural())

    def _natural(self) -> Iterator[Block]:
        """Of a collection that is renamed meanwhile the rest is read on; one that is dropped has ended.

        Where documents have to be told apart by their places (`shown`), the server tells these too: after a document that is gone by
        now, and in the batch that goes beyond `high`, which is read once more.
        """
        token, seek, shown = self.low, True, False
        while True:
            try:
                with self.dial() as wire:
                    for batch in self._read(wire, self._from(token, seek, shown), token):
                        beyond = _place(batch.token) - _place(self.high) if self.high and batch.items else -1
                        if beyond > 0 and not shown:
                            shown = True
                            break
                        block = _between(batch.documents, token, self.high) if shown else Block(batch.documents, batch.items)
                        token = batch.token if block.items else token
                        if block.items:
                            yield block
                        if beyond >= 0:
                            return
                    else:
                        return
            except wires.ServerError as error:
                if error.code == _KEY_NOT_FOUND and token and seek:
                    seek, shown = False, True  # the last document read is gone meanwhile
                elif self._ended(error):
                    return
                else:
                    seek = True

    def _read(self, wire: Wire, command: Mapping[str, Any], token: bytes) -> Iterator[raw.Batch]:
        """To the end as the server sends it. Up to `high` each batch is asked for, of no more documents than there are places left: where no
        place is free it ends there, and nothing is read in vain."""
        if not self.high:
            return wire.stream(self._database, command, self.size)
        high = _place(self.high)
        first = max(1, min(self.size, high - (_place(token) if token else 0)))
        left = lambda batch: high - _place(batch.token) if batch.token else self.size  # noqa: E731
        return wire.stream(self._database, {**command, "noCursorTimeout": False}, first, left)

    def _from(self, token: bytes, seek: bool, shown: bool) -> dict[str, Any]:
        """How to read on after what the token stands for: the server finds the place, or tells of all documents where they are."""
        command = {**self._command, **_IN_PLACE, "showRecordId": shown}
        return {**command, "$_resumeAfter": RawBSONDocument(token)} if token and seek else command

    def _clustered(self) -> Iterator[Block]:
        """The same where documents are kept in the order of `_id`, which is then where to read on."""
        last: bytes | None = None
        while True:
            low = self.low if last is None else raw.assemble([last])
            bounds = {name: RawBSONDocument(place) for name, place in (("min", low), ("max", self.high)) if place}
            try:
                with self.dial() as wire:
                    for batch in wire.stream(self._database, {**self._command, "hint": {"_id": 1}, **bounds}, self.size):
                        block = Block(batch.documents, batch.items) if last is None else _without(batch.documents, last)
                        if block.items:
                            last = last_id(block.documents)
                            yield block
                return
            except wires.ServerError as error:
                if self._ended(error):
                    return

    @property
    def _database(self) -> str:
        return namespaces.split(self.collection.namespace)[0]

    @property
    def _command(self) -> dict[str, Any]:
        return {"find": self.collection.selector, "noCursorTimeout": True, "readConcern": self.concern}

    def _ended(self, error: wires.ServerError) -> bool:
        """Whether the collection is gone; False: it can be read on. Raises the error when it is neither."""
        if error.code not in KILLED or self.collection.capped:
            raise error
        with self.dial() as wire:
            return not self.exists(wire)


def batch_size(stats: Mapping[str, Any]) -> int:
    """How many documents to read at once."""
    return max(1, min(READ_BYTES, BLOCK_BYTES) // max(16, int(stats.get("avgObjSize", 0))))


def places(wire: Wire, collection: Collection, stats: Mapping[str, Any]) -> tuple[bytes, ...]:
    """Where to cut a large collection, each an encoded document: an `_id` where it is kept in their order, else a resume token.

    One that has an order of its own is not cut, nor one of which the server takes no sample.
    """
    parts, count = min(MOST_PARTS, int(stats.get("size", 0)) // PART_BYTES), int(stats.get("count", 0))
    if collection.capped or parts < 2:
        return ()
    try:
        return (() if collection.clustered else _counted(wire, collection, parts, count)) or _sampled(wire, collection, parts, count)
    except wires.ServerError:
        return ()


def measured(wire: Wire, collection: Collection) -> Mapping[str, Any]:
    """How large it is, as collStats says; nothing of a collection that is gone."""
    database, name = namespaces.split(collection.namespace)
    try:
        return wire.call(database, {"collStats": name})
    except wires.ServerError:
        return {}


def _counted(wire: Wire, collection: Collection, parts: int, count: int) -> tuple[bytes, ...]:
    """Nothing where too many places are free. A sample costs the server as much as reading some ten megabytes."""
    database, name = namespaces.split(collection.namespace)
    read = {"find": name, "projection": {"_id": 1}, "limit": 1, "singleBatch": True}
    ends = [_documents(wire, database, {**read, "hint": {"$natural": way}, "showRecordId": True}) for way in (1, -1)]
    if not all(ends):
        return ()
    first, last = (_place(found) for (found,) in ends)
    if count < _DENSE * (last - first + 1):
        return ()

    def taken(token: bytes) -> bool:
        try:
            _documents(wire, database, {**read, **_IN_PLACE, "$_resumeAfter": RawBSONDocument(token)})
        except wires.ServerError as error:
            if error.code != _KEY_NOT_FOUND:
                raise
            return False
        return True

    cuts = []
    for number in range(1, parts):
        cut = first + (last - first) * number // parts
        token = next(filter(taken, map(_token, range(cut, cut + _TRIED))), None)
        if token is None:
            return ()
        cuts.append(token)
    return tuple(cuts)


def _sampled(wire: Wire, collection: Collection, parts: int, count: int) -> tuple[bytes, ...]:
    database, name = namespaces.split(collection.namespace)
    sample = [{"$sample": {"size": max(1, min(_MOST_SAMPLED, count // _SAMPLED_OF))}}, {"$project": {"_id": 1}}, {"$sort": {"_id": 1}}]
    found = _documents(wire, database, {"aggregate": name, "pipeline": sample, "cursor": {}})
    if not collection.clustered:
        wanted = {"_id": {"$in": [RawBSONDocument(document)["_id"] for document in found]}}
        kept = _documents(wire, database, {"find": name, "filter": wanted, "projection": {"_id": 1}, "showRecordId": True})
        found = [_token(place) for place in sorted(map(_place, kept))]
    return tuple(dict.fromkeys(found[len(found) * number // parts] for number in range(1, parts) if found))


def _documents(wire: Wire, database: str, command: Mapping[str, Any]) -> list[bytes]:
    return [document for batch in wire.batches(database, command) for document in raw.documents(batch)]


def last_id(block: bytes) -> bytes | None:
    documents = list(raw.documents(block))
    return raw.id_of(documents[-1]) if documents else None


def _without(block: bytes, seen: bytes | None) -> Block:
    """Without the document that was read before (which may also be gone by now)."""
    return _block([document for document in raw.documents(block) if raw.id_of(document) != seen])


def _gathered(batches: Iterator[Block]) -> Iterator[Block]:
    """Batches joined to blocks."""
    waiting, size = list[Block](), 0
    for batch in batches:
        if waiting and size + len(batch.documents) > BLOCK_BYTES:
            yield _joined(waiting)
            waiting, size = [], 0
        waiting.append(batch)
        size += len(batch.documents)
    if waiting:
        yield _joined(waiting)


def _joined(batches: list[Block]) -> Block:
    return Block(b"".join(batch.documents for batch in batches), sum(batch.items for batch in batches))


def _block(documents: list[bytes]) -> Block:
    return Block(b"".join(documents), len(documents))


def _token(place: int) -> bytes:
    """What stands for a place, as the server tells it."""
    return bson.encode({"$recordId": bson.Int64(place)})


def _place(document: bytes) -> int:
    """Where it is kept: of a resume token, or of a document shown with it."""
    return int(bson.decode(document)["$recordId"])


def _between(block: bytes, low: bytes, high: bytes) -> Block:
    """Of documents that end in where they are kept, those after the one place and up to the other, without that."""
    after, until = _place(low) if low else None, _place(high) if high else None
    kept = []
    for document in raw.documents(block):
        at = len(document) - len(_RECORD_ID) - _LONG.size - 1
        place = _LONG.unpack_from(document, at + len(_RECORD_ID))[0]
        if (after is None or place > after) and (until is None or place <= until):
            kept.append(raw.assemble([document[4:at]]))
    return _block(kept)
