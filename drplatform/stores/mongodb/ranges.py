"""Large collections cut into ranges of `_id` that are read independently.

Split points come from the server (a sorted random sample), so that they are in the order of its own comparison, whatever the types of
the `_id`s and the collation. Ranges are half-open, and bounds are index bounds (`min`, `max`), which unlike query operators span types.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from bson.raw_bson import RawBSONDocument

from drplatform.model.ports import BLOCK_BYTES
from drplatform.stores.mongodb import namespaces, raw
from drplatform.stores.mongodb import wire as wires
from drplatform.stores.mongodb.catalogue import Collection
from drplatform.stores.mongodb.wire import Wire

RANGE_BYTES = 16 * 1024 * 1024
"""So that also collections of some dozens of MB are read, and loaded again, by several threads."""
_MOST_RANGES = 1024
_SAMPLES_A_RANGE = 10
_NATURAL_ORDER = {"$natural": 1}


@dataclass(frozen=True)
class Range:
    """From `low` (encoded `_id`, inclusive) to `high` (exclusive); None is no bound. `batch` documents make about a block.

    `seen`: the document at `low` was already read.
    """

    low: bytes | None = None
    high: bytes | None = None
    batch: int = 1000
    seen: bool = False

    def after(self, block: bytes) -> "Range":
        """What is left when `block` was the last that was read."""
        documents = list(raw.documents(block))
        return replace(self, low=raw.id_of(documents[-1]), seen=True) if documents else self


def split(wire: Wire, collection: Collection) -> tuple[Range, ...]:
    """The ranges of a collection, in order; one for a small or capped one."""
    size, average = _size(wire, collection)
    batch = max(1, min(1_000_000, BLOCK_BYTES // max(16, average)))
    wanted = min(_MOST_RANGES, size // RANGE_BYTES)
    if collection.capped or wanted < 2:
        return (Range(batch=batch),)
    bounds = [None, *_split_points(wire, collection, wanted), None]
    return tuple(Range(low, high, batch) for low, high in pairwise(bounds))


def read(wire: Wire, collection: Collection, piece: Range, concern: Mapping[str, Any]) -> Iterator[bytes]:
    """The documents of a range, in blocks; a capped collection's in the order in which it keeps them."""
    database, _ = namespaces.split(collection.namespace)
    order: dict[str, Any] = {"hint": _NATURAL_ORDER if collection.capped else {"_id": 1}}
    if piece.low is not None:
        order["min"] = _bound(piece.low)
    if piece.high is not None:
        order["max"] = _bound(piece.high)
    command = {"find": collection.selector, **order, "batchSize": piece.batch, "noCursorTimeout": True, "readConcern": concern}
    for block in wire.batches(database, command, {"batchSize": piece.batch}):
        yield _without_first(block, piece.low) if piece.seen else block


def _without_first(block: bytes, seen: bytes | None) -> bytes:
    """Without the document that was read before (which may also be gone by now)."""
    return b"".join(document for document in raw.documents(block) if raw.id_of(document) != seen)


def _split_points(wire: Wire, collection: Collection, wanted: int) -> list[bytes]:
    database, name = namespaces.split(collection.namespace)
    pipeline = [{"$sample": {"size": wanted * _SAMPLES_A_RANGE}}, {"$project": {"_id": 1}}, {"$sort": {"_id": 1}}]
    command = {"aggregate": name, "pipeline": pipeline, "cursor": {}, "allowDiskUse": True}
    sampled = [raw.id_of(document) for batch in wire.batches(database, command) for document in raw.documents(batch)]
    chosen = [point for point in sampled[_SAMPLES_A_RANGE::_SAMPLES_A_RANGE] if point is not None]
    return [point for point, before in zip(chosen, [None, *chosen], strict=False) if point != before]


def _size(wire: Wire, collection: Collection) -> tuple[int, int]:
    """Bytes of documents, and bytes of one on average. A collection that is gone has none."""
    database, name = namespaces.split(collection.namespace)
    try:
        stats = wire.call(database, {"collStats": name})
    except wires.ServerError:
        return 0, 0
    return int(stats.get("size", 0)), int(stats.get("avgObjSize", 0))


def _bound(encoded: bytes) -> RawBSONDocument:
    return RawBSONDocument(raw.assemble([encoded]))
