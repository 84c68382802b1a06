"""Content digests of MongoDB: each document's raw bytes, each index, the collection's options.

`db.collection` digests the documents; `db.collection#indexes` and `db.collection#options` what else makes the collection, so that a lost
index is named as such.
"""

from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

import bson

from drplatform.model.backup import Digest, Multiset
from drplatform.stores.mongodb import catalogue, namespaces, raw, scan
from drplatform.stores.mongodb.catalogue import Collection
from drplatform.stores.mongodb.members import Members

_READERS = 2


class Sum(Protocol):
    """Adds up the documents that cursors give, in whatever order they come."""

    def add_batch(self, batch: raw.Batch, /) -> None: ...


_S = TypeVar("_S", bound=Sum)


class Documents(Multiset):
    """The digest of documents."""

    def add_block(self, block: bytes) -> None:
        self.add_all(raw.split(block))

    def add_batch(self, batch: raw.Batch) -> None:
        self.add_block(batch.documents)


def of_documents(documents: Iterable[bytes]) -> Digest:
    found = Multiset()
    for document in documents:
        found.add(document)
    return found.digest()


def of_structure(collection: Collection) -> dict[str, Digest]:
    """Digests of a collection's indexes and options."""
    indexes = [bson.encode(_canonical(spec)) for spec in collection.indexes]
    options = bson.encode(_canonical(collection.options))
    return {f"{collection.namespace}#indexes": of_documents(indexes), f"{collection.namespace}#options": of_documents([options])}


def _canonical(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Top-level fields in one order; below, order has a meaning."""
    return {name: spec[name] for name in sorted(spec) if name not in ("ns", "background")}


def digests(members: Members) -> dict[str, Digest]:
    """Digests of everything that is content, read from the primary as it is now."""
    found, structures = read(members, Documents)
    return dict(sorted(({name: each.digest() for name, each in found.items()} | structures).items()))


def read(
    members: Members, into: Callable[[], _S], only: AbstractSet[str] | None = None, meanwhile: Callable[[], object] | None = None
) -> tuple[dict[str, _S], dict[str, Digest]]:
    """The documents of each collection that is content, or of these alone, added up; and digests of the structures. From the primary as it is now.

    `meanwhile` is done while documents are read, and has ended when indexes and options are.
    """
    collections = _collections(members, only)
    with ThreadPoolExecutor(_READERS) as readers, ThreadPoolExecutor(1) as aside:
        doing = aside.submit(meanwhile) if meanwhile else None
        found = dict(readers.map(lambda c: (c.namespace, _content(members, c, into())), collections))
    if doing:
        doing.result()
        collections = [c for c in _collections(members, only) if c.namespace in found]
    return found, {name: each for collection in collections for name, each in of_structure(collection).items()}


def _collections(members: Members, only: AbstractSet[str] | None) -> list[Collection]:
    with members.primary() as wire:
        return [c for c in catalogue.read(wire) if (namespaces.content(c.namespace) if only is None else c.namespace in only)]


def _content(members: Members, collection: Collection, found: _S) -> _S:
    database, name = namespaces.split(collection.namespace)
    with members.primary() as wire:
        size = scan.batch_size(scan.measured(wire, collection))
        for batch in wire.stream(database, {"find": name, "noCursorTimeout": True}, size):
            found.add_batch(batch)
    return found
