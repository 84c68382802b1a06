"""The server that is being restored, as the log's entries see it: collections by the source's UUID, operations in batches.

Collections are found by the UUID that they had at the source, so that renames, drops and new collections of an old name cannot be mixed up.
Everything goes through applyOps in the log's own form, except what the server does not take there.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import bson

from drplatform.model import errors
from drplatform.stores.mongodb import chosen, namespaces, raw
from drplatform.stores.mongodb import wire as wires
from drplatform.stores.mongodb.catalogue import Collection
from drplatform.stores.mongodb.oplog import Entry
from drplatform.stores.mongodb.wire import Document, Wire

_BATCH_BYTES = 8 * 1024 * 1024
_BATCH_OPERATIONS = 8000
_NAMESPACE_EXISTS = 48
_KEPT = (b"op", b"o", b"o2", b"b")


@dataclass(frozen=True)
class Pending:
    """An operation on its way: where it goes, and the entry it comes from."""

    namespace: str
    entry: Entry
    encoded: bytes


@dataclass
class Target:
    """Used by one thread at a time. `names` maps the source's UUIDs to namespaces here.

    `tolerant`: operations of the dump's own log, which repeat what is there already: an update of a document that is gone is no error.
    `kept`: the account that all this is done with, and its roles, in words, where they were among what was to be changed. They stay.
    `before` is told of the namespaces of each batch before it is sent.
    `beside`: other collections are there, so that views of time series are made one by one (as they are for imported directories).
    """

    wire: Wire
    names: dict[bytes, str] = field(default_factory=dict)
    tolerant: bool = False
    beside: bool = False
    kept: set[str] = field(default_factory=set)
    before: Callable[[set[str]], object] = lambda places: None
    _pending: list[Pending] = field(default_factory=list)
    _bytes: int = 0

    @property
    def half_full(self) -> bool:
        return 2 * self._bytes > _BATCH_BYTES or 2 * len(self._pending) > _BATCH_OPERATIONS

    # -- documents ------------------------------------------------------------------------------------------------------------

    def put(self, entry: Entry, namespace: str) -> None:
        """Have an insert, update or delete applied, soon, after those before it."""
        if namespace in namespaces.USERS and (own := self._own.get((namespace, _id(entry)))):
            self.kept.add(own)
            return
        if self._is_changed_by_replacing(entry):
            self._put(_deletion(entry), namespace)
            self._put(_insertion(entry), namespace)
        else:
            self._put(entry, namespace)

    @cached_property
    def _own(self) -> dict[tuple[str, object], str]:
        """The account that all this is done with and all roles that it has, by where they are kept: without them it could not go on."""
        known = self.wire.call("admin", {"connectionStatus": 1})["authInfo"]
        users = {(namespaces.ACCOUNTS, f"{each['db']}.{each['user']}"): "user" for each in known["authenticatedUsers"]}
        roles = {(namespaces.ROLES, f"{each['db']}.{each['role']}"): "role" for each in known["authenticatedUserRoles"]}
        return {place: f"{what} {place[1]}" for place, what in (users | roles).items()}

    def _is_changed_by_replacing(self, entry: Entry) -> bool:
        """A whole document that the server would not store as it is where one of its `_id` is already. Where none is, it does."""
        whole = (entry.op == "i" and self.tolerant) or (entry.op == "u" and not entry.value_is_change)
        return whole and raw.changes_when_written(entry.content(b"o"))

    def _put(self, entry: Entry, namespace: str) -> None:
        encoded = raw.assemble([raw.string(b"ns", namespace), *(entry.element(name) for name in _KEPT)])
        if self._bytes + len(encoded) > _BATCH_BYTES or len(self._pending) >= _BATCH_OPERATIONS:
            self.flush()
        self._pending.append(Pending(namespace, entry, encoded))
        self._bytes += len(encoded)

    def put_document(self, namespace: str, document: bytes) -> None:
        """Have a document stored as it is, in place of one of the same `_id`."""
        self.put(Entry(raw.assemble([raw.string(b"op", "i"), b"\x03o\0" + document])), namespace)

    def flush(self) -> None:
        """Apply what is pending. Raises RecoveryFailed when an operation could not be applied."""
        pending, self._pending, self._bytes = self._pending, [], 0
        if not pending:
            return
        self.before({each.namespace for each in pending})
        answer = self._apply([each.encoded for each in pending])
        if answer.get("ok") == 1:
            return
        results = answer.get("results")
        if not results or len(results) != len(pending):
            raise wires.ServerError(self.wire.address, "applyOps", answer)
        for each, done in zip(pending, results, strict=True):
            if not done and not self._harmless(each):
                raise errors.RecoveryFailed(
                    f"The operation {_told(each)} could not be applied; take another backup or an earlier position."
                )

    def _apply(self, operations: list[bytes]) -> Document:
        elements = [raw.array(b"applyOps", operations)]
        elements.append(raw.elements({"allowAtomic": False, "alwaysUpsert": False, "bypassDocumentValidation": True, "$db": "admin"}))
        answer: Document = bson.decode(self.wire.exchange_raw(raw.assemble(elements), {}), wires.OPTIONS)
        return answer

    def _harmless(self, each: Pending) -> bool:
        """While the dump's own log is applied: an update of a document that was gone before it was read."""
        if not self.tolerant or each.entry.op != "u":
            return False
        database, name = namespaces.split(each.namespace)
        found = self.wire.documents(database, {"find": name, "filter": {"_id": each.entry.value(b"o2")["_id"]}, "limit": 1})
        return not list(found)

    # -- collections ----------------------------------------------------------------------------------------------------------

    def create(self, collection: Collection) -> None:
        """Make an empty collection with all its options. Users and roles may be there already."""
        database, name = namespaces.split(collection.namespace)
        if self.makes_view(collection):
            self.flush()
            chosen.create_time_series(self.wire, collection.namespace, collection.options)
            self.names[collection.uuid] = collection.namespace
            return
        options = dict(collection.options)
        if collection.id_index:
            options["idIndex"] = collection.id_index
        try:
            self.command(database, {"create": name, **options})
        except wires.ServerError as error:
            if error.code != _NAMESPACE_EXISTS or collection.namespace not in namespaces.USERS:
                raise
        self.names[collection.uuid] = collection.namespace

    def makes_view(self, collection: Collection) -> bool:
        """Whether it is a time series that is made the way people do, which makes its view too."""
        return "timeseries" in collection.options and (self.beside or "clusteredIndex" not in collection.options)

    def drop(self, namespace: str) -> None:
        if self.beside:
            self.flush()
            chosen.drop(self.wire, namespace)
            return
        database, name = namespaces.split(namespace)
        self.command(database, {"drop": name})

    def command(self, database: str, command: Mapping[str, Any]) -> None:
        """Apply a command entry in the log's own form."""
        self.flush()
        operation = bson.encode({"op": "c", "ns": f"{database}.$cmd", "o": dict(command)})
        answer = self._apply([operation])
        if answer.get("ok") != 1:
            raise wires.ServerError(self.wire.address, next(iter(command)), answer)

    def call(self, database: str, command: Mapping[str, Any]) -> Document:
        """A command that is not applied in the log's form."""
        self.flush()
        return self.wire.call(database, command)

    def build(self, namespace: str, indexes: list[dict[str, Any]]) -> None:
        """Build indexes with all their options, at once."""
        database, name = namespaces.split(namespace)
        if indexes:
            specs = [_as_asked(spec) for spec in indexes]
            self.call(database, {"createIndexes": name, "indexes": specs, "commitQuorum": "majority"})

    def rename(self, uuid: bytes, to: str, drop_target: bool) -> None:
        command = {"renameCollection": self.names[uuid], "to": to, "dropTarget": drop_target}
        self.call("admin", command)
        self.names = {key: name for key, name in self.names.items() if name != to}
        self.names[uuid] = to

    def occupant(self, namespace: str) -> bytes | None:
        """The source's UUID of the collection that has this name here."""
        return next((uuid for uuid, name in self.names.items() if name == namespace), None)


def _as_asked(spec: dict[str, Any]) -> dict[str, Any]:
    """A text index that expires is listed in a form that looks compound, which the server refuses: its key again as it was asked for."""
    if "_fts" not in spec["key"] or "expireAfterSeconds" not in spec:
        return spec
    return {**spec, "key": dict.fromkeys(spec["weights"], "text")}


def _id(entry: Entry) -> object:
    return entry.value(b"o2" if entry.op == "u" else b"o")["_id"]


def _deletion(entry: Entry) -> Entry:
    identity = raw.id_of(entry.content(b"o")) or b""
    return Entry(raw.assemble([raw.string(b"op", "d"), b"\x03o\0" + raw.assemble([identity])]))


def _insertion(entry: Entry) -> Entry:
    return Entry(raw.assemble([raw.string(b"op", "i"), entry.element(b"o")]))


def _told(each: Pending) -> str:
    entry = each.entry
    subject = entry.value(b"o2") if entry.op == "u" else entry.value(b"o")
    at = entry.ts if entry.element(b"ts") else "of a transaction"
    return f"{entry.op} on {each.namespace}, _id {subject.get('_id')!r}, {at}"
