"""How far a restore has come when all backups of its chain are loaded: kept beside the lease, so that one that is cut off then goes on.

Indexes are built, and the log is applied, upon a state that cannot be loaded a second time. What is needed to go on from there is noted
first: the collections by the source's UUID with their indexes and what was loaded of them, the position, and transactions that were open at it. While the log is
applied, each batch is announced before it is sent, by the position before it and its last one. After a cut all before the former is in, and
of what lies between some may be. That is applied again the way the dump's own log is, which is harmless for documents; where it is not, it
begins anew: within a change of collections, and in capped collections, which would push out others. Unique values that moved on are found by
the server, and the restore says to begin anew.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import bson
from bson.timestamp import Timestamp

from drplatform.model import errors
from drplatform.model.position import Position
from drplatform.stores.mongodb import lease as leases
from drplatform.stores.mongodb import members, namespaces
from drplatform.stores.mongodb import wire as wires
from drplatform.stores.mongodb.fingerprint import Fingerprint
from drplatform.stores.mongodb.lease import Lease
from drplatform.stores.mongodb.members import Stamp
from drplatform.stores.mongodb.oplog import Entry
from drplatform.stores.mongodb.transactions import Assembly
from drplatform.stores.mongodb.wire import Wire

MOST_OPEN_BYTES = 8 * 1024 * 1024
"""Of transactions that are open. With more than that nothing is noted, and what is cut off later begins anew."""
_DATABASE, _COLLECTION = namespaces.split(namespaces.RESTORING)
_PLACE, _OPEN = "collection ", "open "
Indexes = dict[bytes, dict[str, dict[str, Any]]]
"""By the source's UUID of the collection and the index's name, its specification."""


@dataclass(frozen=True)
class Settled:
    """What is known when all backups are loaded. `contents`: of the collections that nothing has changed since they were."""

    reached: Position
    names: Mapping[bytes, str]
    indexes: Indexes
    transactions: Assembly
    contents: Mapping[bytes, Fingerprint]


def keep(lease: Lease, settled: Settled) -> None:
    """Note it all, then that it is noted. When the open transactions are too large, note that what is cut off begins anew."""
    operations = settled.transactions.open
    if sum(len(entry.raw) for _, entry in operations) > MOST_OPEN_BYTES:
        lease.enter(leases.CHANGING)
        return
    stamp = Timestamp(*members.stamp(settled.reached))
    documents = [
        _placed(uuid, name, settled.indexes.get(uuid, {})) | _held(settled.contents.get(uuid)) for uuid, name in settled.names.items()
    ]
    documents += [
        {"_id": f"{_OPEN}{n:09}", "lsid": session[0], "number": bson.Int64(session[1]), "operation": entry.raw}
        for n, (session, entry) in enumerate(operations)
    ]
    for document in documents:
        _put(lease.wire, document)
    lease.enter(leases.INDEXING, timeline=settled.reached.timeline, reached=stamp, done=stamp, until=stamp, fragile=False)


def found(lease: Lease) -> Settled:
    """What an earlier attempt noted."""
    names, indexes, transactions, contents = dict[bytes, str](), Indexes(), Assembly(), dict[bytes, Fingerprint]()
    query = {"find": _COLLECTION, "filter": {"_id": {"$regex": f"^({_PLACE}|{_OPEN})"}}, "sort": {"_id": 1}}
    for document in lease.wire.documents(_DATABASE, query):
        if document["_id"].startswith(_OPEN):
            transactions.put((bytes(document["lsid"]), int(document["number"])), Entry(bytes(document["operation"])))
        else:
            uuid = bytes.fromhex(document["_id"].removeprefix(_PLACE))
            specs = bson.decode(document["indexes"], wires.OPTIONS)["specs"]
            names[uuid], indexes[uuid] = document["ns"], {spec["name"]: spec for spec in specs}
            if "held" in document:
                contents[uuid] = Fingerprint.read(document["held"], lease.notes[leases.SEED])
    return Settled(members.at(lease.notes["timeline"], _stamp(lease.notes["reached"])), names, indexes, transactions, contents)


class Progress:
    """Announces what is applied of the log. After a cut all up to `done` is in; of what follows up to `until`, some may be."""

    def __init__(self, lease: Lease, wire: Wire) -> None:
        self._lease, self._wire = lease, wire
        self.done, self.until = (_stamp(lease.notes[name]) for name in ("done", "until"))
        self._known: dict[bytes, str] = {}
        self._capped: dict[str, bool] = {}

    def begin(self, names: Mapping[bytes, str]) -> None:
        self._known = dict(names)
        self._lease.enter(leases.REPLAYING)

    def announce(self, done: Stamp, until: Stamp, places: set[str]) -> None:
        """Before a batch is sent: all up to `done` is in."""
        fragile = any(self._is_capped(place) for place in places)
        until = max(until, self.until)  # what was cut off before may have come further
        self._lease.enter(leases.REPLAYING, done=Timestamp(*done), until=Timestamp(*until), fragile=fragile)

    def change(self) -> None:
        """Before collections are changed."""
        self._lease.enter(leases.CHANGING)

    def changed(self, at: Stamp, names: Mapping[bytes, str]) -> None:
        """After that: all up to `at` is in."""
        for uuid in self._known.keys() - names.keys():
            self._wire.call(_DATABASE, {"delete": _COLLECTION, "deletes": [{"q": {"_id": f"{_PLACE}{uuid.hex()}"}, "limit": 1}]})
        for uuid, name in names.items():
            if self._known.get(uuid) != name:
                _put(self._wire, _placed(uuid, name, {}))
        self._known = dict(names)
        self._capped.clear()
        self.announce(at, at, set())

    def _is_capped(self, place: str) -> bool:
        if place not in self._capped:
            database, name = namespaces.split(place)
            listed = list(self._wire.documents(database, {"listCollections": 1, "filter": {"name": name}}))
            self._capped[place] = any(each["options"].get("capped") for each in listed)
        return self._capped[place]


def can_go_on(lease: Lease) -> bool:
    """Whether what was cut off there can be gone on with. What an earlier version noted of what it loaded could not be compared at the end."""
    fragile = lease.found == leases.REPLAYING and lease.notes.get("fragile")
    return lease.found in leases.RESUMABLE and leases.SEED in lease.notes and not fragile


def must_begin_anew(lease: Lease, error: errors.DrplatformError) -> errors.RecoveryFailed:
    """For an operation that was cut off and does not fit a second time."""
    lease.enter(leases.CHANGING)
    return errors.RecoveryFailed(f"What was cut off cannot be gone on with: {error} With --resume it begins anew.")


def _placed(uuid: bytes, name: str, indexes: Mapping[str, dict[str, Any]]) -> wires.Document:
    specs = bson.encode({"specs": list(indexes.values())})  # names of fields in keys are no names of fields to store
    return {"_id": f"{_PLACE}{uuid.hex()}", "ns": name, "indexes": specs}


def _held(content: Fingerprint | None) -> wires.Document:
    return {"held": content.told()} if content else {}


def _put(wire: Wire, document: wires.Document) -> None:
    """Raises StoreError."""
    update = {"q": {"_id": document["_id"]}, "u": {"$set": {k: v for k, v in document.items() if k != "_id"}}, "upsert": True}
    answer = wire.call(_DATABASE, {"update": _COLLECTION, "updates": [update]})
    if "writeErrors" in answer:
        raise errors.StoreError(f"MongoDB does not take the notes of a restore: {answer['writeErrors'][0].get('errmsg')}.")


def _stamp(timestamp: Timestamp) -> Stamp:
    return timestamp.time, timestamp.inc
