"""What makes a collection apart from its documents: name, UUID, options, indexes. Views are documents of `system.views`.

Read from a server, carried in a dump as BSON, compared in digests. Does not create anything.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import bson
from bson.binary import Binary

from drplatform.model import errors
from drplatform.stores.mongodb import namespaces
from drplatform.stores.mongodb import wire as wires
from drplatform.stores.mongodb.wire import Wire

_NAMESPACE_NOT_FOUND = 26


@dataclass(frozen=True)
class Collection:
    """`indexes` are complete specifications, as the server lists them, the one on `_id` included."""

    namespace: str
    uuid: bytes
    options: dict[str, Any] = field(default_factory=dict)
    id_index: dict[str, Any] | None = None
    indexes: tuple[dict[str, Any], ...] = ()

    @property
    def capped(self) -> bool:
        return bool(self.options.get("capped"))

    @property
    def clustered(self) -> bool:
        """Kept in the order of `_id`, without an index on it (time-series buckets are)."""
        return bool(self.options.get("clusteredIndex"))

    @property
    def selector(self) -> Binary:
        """What `find` takes in place of a name, so that a rename meanwhile does not matter."""
        return Binary(self.uuid, 4)

    def to_bson(self) -> bytes:
        fields = {"ns": self.namespace, "uuid": self.selector, "options": self.options, "indexes": list(self.indexes)}
        encoded: bytes = bson.encode({**fields, "idIndex": self.id_index})
        return encoded

    @classmethod
    def from_bson(cls, document: bytes) -> "Collection":
        try:
            found = bson.decode(document, wires.OPTIONS)
            return cls(found["ns"], bytes(found["uuid"]), found["options"], found["idIndex"], tuple(found["indexes"]))
        except (KeyError, bson.errors.InvalidBSON) as error:
            raise errors.IntegrityError("The catalogue of this MongoDB backup cannot be read; do not trust it.") from error


def read(wire: Wire) -> list[Collection]:
    """The protected collections of all databases, in order of names. Raises StoreError for what is kept in a way that is not known."""
    found = [c for database in databases(wire) for c in _of_database(wire, database)]
    return sorted(found, key=lambda c: c.namespace)


def databases(wire: Wire) -> list[str]:
    """All there are. Raises StoreError for an account that may not see all, to which the server would else list those that it may read."""
    try:
        listed = wire.call("admin", {"listDatabases": 1, "nameOnly": True, "authorizedDatabases": False})["databases"]
    except wires.ServerError as error:
        if error.code != wires.UNAUTHORIZED:
            raise
        raise errors.StoreError(
            f"The account may not see all databases of MongoDB at {wire.address}, and those that it does not see would be left out; give it "
            "the roles that docs/mongodb.md names."
        ) from error
    return [each["name"] for each in listed]


def _of_database(wire: Wire, database: str) -> Iterator[Collection]:
    if database in ("local", "config"):
        return
    for each in list(wire.documents(database, {"listCollections": 1})):
        namespace = f"{database}.{each['name']}"
        if namespaces.protected(namespace) and not _is_view(each, namespace):
            plain = Collection(namespace, bytes(each["info"]["uuid"]), each["options"], each.get("idIndex"))
            yield replace(plain, indexes=tuple(_indexes(wire, database, plain)))


def _is_view(listed: dict[str, Any], namespace: str) -> bool:
    """Whether it is but a view of a collection that is listed too, as time series are. From 8.3 on the server can keep these without one:
    to take them for views would leave them out of every backup."""
    if listed["type"] == "collection":
        return False
    if listed["type"] == "view" or (listed["type"] == "timeseries" and "uuid" not in listed["info"]):
        return True
    raise errors.StoreError(
        f"MongoDB keeps {namespace} ({listed['type']}) in a way that this version cannot read, and nothing was read at all; use a newer one."
    )


def _indexes(wire: Wire, database: str, collection: Collection) -> list[dict[str, Any]]:
    """Ready indexes only: one that is being built is in the log when it is ready."""
    try:
        found = list(wire.documents(database, {"listIndexes": collection.selector}))
    except wires.ServerError as error:
        if error.code == _NAMESPACE_NOT_FOUND:  # dropped since it was listed; the log says so
            return []
        raise
    for spec in found:
        spec.pop("clustered", None)
    return [spec for spec in found if not (collection.clustered and spec["key"] == {"_id": 1})]
