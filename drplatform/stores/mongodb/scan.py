"""One reading of a collection, in the order in which the server keeps it, whose batches go to whoever asks next.

That order costs the server least (an index is walked three times as slowly, and leads all over the disk where `_id`s are random), and it
does not depend on `_id`s, of whatever types they are. A document keeps its place when it is updated. One that is deleted and inserted again
while its collection is read may be read twice, once as each; the log of the dump holds both operations, so either will do.

Parts of a large collection share its reading: as many threads digest and seal what one cursor yields, and a restore loads them in parallel.
"""

import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import bson
from bson.raw_bson import RawBSONDocument

from drplatform.model.ports import BLOCK_BYTES
from drplatform.stores.mongodb import namespaces, raw
from drplatform.stores.mongodb import wire as wires
from drplatform.stores.mongodb.catalogue import Collection
from drplatform.stores.mongodb.wire import Wire

PART_BYTES = 16 * 1024 * 1024
"""So that also collections of some dozens of MB are loaded again by several threads."""
MOST_PARTS = 4
READ_BYTES = 2 * 1024 * 1024
"""A quarter of a block: the server reads on while one is on its way. At 100 MB on a busy machine best or near it of 0.5, 1, 2 and 8 MiB; not so at 400."""
KILLED = frozenset({175, 26, 43, 237, 11601})
"""QueryPlanKilled, NamespaceNotFound, CursorNotFound, CursorKilled, Interrupted: a drop or a rename does this to a reader."""
_KEY_NOT_FOUND = 211
_RECORD_ID = b"\x12$recordId\0"
_LONG = struct.Struct("<q")


class Block(NamedTuple):
    """Concatenated documents, and how many."""

    documents: bytes
    items: int


@dataclass
class Scan:
    """`size` documents are read at once. `concern`: the read concern; `exists`: whether the collection is still there."""

    collection: Collection
    parts: int
    size: int
    dial: Callable[[], Wire]
    concern: Mapping[str, Any]
    exists: Callable[[Wire], bool]
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _batches: Iterator[Block] | None = None

    def blocks(self) -> Iterator[Block]:
        """Blocks that nobody else has got; from several threads."""
        while (block := self._next()) is not None:
            yield block

    def _next(self) -> Block | None:
        with self._lock:
            if self._batches is None:
                self._batches = _gathered(self._clustered() if self.collection.clustered else self._natural())
            return next(self._batches, None)

    def _natural(self) -> Iterator[Block]:
        """Of a collection that is renamed meanwhile the rest is read on; one that is dropped has ended."""
        token, seek = b"", True
        while True:
            try:
                with self.dial() as wire:
                    for batch in wire.stream(self._database, self._from(token, seek), self.size):
                        block = Block(batch.documents, batch.items) if seek else _beyond(batch.documents, token)
                        token = batch.token if block.items else token
                        if block.items:
                            yield block
                return
            except wires.ServerError as error:
                if error.code == _KEY_NOT_FOUND and token and seek:
                    seek = False  # the last document read is gone meanwhile
                elif self._ended(error):
                    return
                else:
                    seek = True

    def _from(self, token: bytes, seek: bool) -> dict[str, Any]:
        """How to read on after what the token stands for: the server finds the place, or tells of all documents where they are."""
        command = {**self._command, "hint": {"$natural": 1}, "$_requestResumeToken": True}
        if token and seek:
            return {**command, "$_resumeAfter": RawBSONDocument(token)}
        return {**command, "showRecordId": not seek}

    def _clustered(self) -> Iterator[Block]:
        """The same where documents are kept in the order of `_id`, which is then where to read on."""
        last: bytes | None = None
        while True:
            try:
                with self.dial() as wire:
                    low = {} if last is None else {"min": RawBSONDocument(raw.assemble([last]))}
                    for batch in wire.stream(self._database, {**self._command, "hint": {"_id": 1}, **low}, self.size):
                        block = _without(batch.documents, last) if low else Block(batch.documents, batch.items)
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


def measure(wire: Wire, collection: Collection) -> tuple[int, int]:
    """Into how many parts a collection is cut (one that has an order of its own: one), and how many documents to read at once."""
    size, average = _size(wire, collection)
    batch = max(1, min(READ_BYTES, BLOCK_BYTES) // max(16, average))
    return 1 if collection.capped else max(1, min(MOST_PARTS, size // PART_BYTES)), batch


def last_id(block: bytes) -> bytes | None:
    documents = list(raw.documents(block))
    return raw.id_of(documents[-1]) if documents else None


def _size(wire: Wire, collection: Collection) -> tuple[int, int]:
    """Bytes of documents, and bytes of one on average. A collection that is gone has none."""
    database, name = namespaces.split(collection.namespace)
    try:
        stats = wire.call(database, {"collStats": name})
    except wires.ServerError:
        return 0, 0
    return int(stats.get("size", 0)), int(stats.get("avgObjSize", 0))


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


def _beyond(block: bytes, token: bytes) -> Block:
    """Of documents that end in where they are kept, those after the token's place, without that."""
    place = bson.decode(token)["$recordId"]
    kept = []
    for document in raw.documents(block):
        at = len(document) - len(_RECORD_ID) - _LONG.size - 1
        if _LONG.unpack_from(document, at + len(_RECORD_ID))[0] > place:
            kept.append(raw.assemble([document[4:at]]))
    return _block(kept)
