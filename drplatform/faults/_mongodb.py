"""What faults on MongoDB share: a client of their own, and documents as victims."""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pymongo
import pymongo.errors
from bson import json_util

from drplatform.faults import _destroying
from drplatform.model import errors, ports, powers

SECONDS = 10
VICTIMS_AT_MOST = 20_000
"""Documents that one fault touches: the journal names each."""

Collection = Any
Client = Any


@contextmanager
def client(endpoint: ports.Endpoint, **options: Any) -> Iterator[Client]:
    """A client of the endpoint. Raises StoreError for what the server answers."""
    login: dict[str, Any] = {}
    if endpoint.credentials:
        login = {"username": endpoint.credentials.user, "password": endpoint.credentials.password.reveal()}
    milliseconds = SECONDS * 1000
    try:
        with pymongo.MongoClient(
            [str(address) for address in endpoint.addresses],
            serverSelectionTimeoutMS=milliseconds,
            socketTimeoutMS=3 * milliseconds,
            retryWrites=False,
            **({"replicaSet": endpoint.options["replica_set"]} | login | options),
        ) as made:
            yield made
    except pymongo.errors.PyMongoError as error:
        raise errors.StoreError(f"MongoDB refused what the fault asks of it ({type(error).__name__}: {error}).") from error


@contextmanager
def member(address: ports.Address) -> Iterator[Client]:
    """One member, whatever its role."""
    with client(ports.Endpoint("mongodb", (address,), {"replica_set": ""}), replicaSet=None, directConnection=True) as made:
        yield made


def require(scene: ports.Scene, store: str, instead: str) -> None:
    """Raises SettingsError for a store of another kind, with what to do `instead`."""
    if scene.stores[store].kind != "mongodb":
        raise errors.SettingsError(f"This fault is for MongoDB, and {store} is {scene.stores[store].kind}; {instead}.")


def endpoint(scene: ports.Scene, store: str) -> ports.Endpoint:
    found = scene.stores[store]
    assert isinstance(found, powers.Reached)  # the plan has made sure
    return found.endpoint


@dataclass(frozen=True)
class OnDocuments(_destroying.Destroying):
    """A `share` (0 to 1) of the documents of a collection, by default all of those that the clients write to."""

    store: str = "mongodb"
    namespace: str = ""
    share: float = 1.0

    def affects(self) -> frozenset[str]:
        return frozenset({self.store})

    def needs(self) -> frozenset[str]:
        return frozenset({f"namespaced:{self.store}", f"reached:{self.store}"})

    def aim(self, scene: ports.Scene) -> powers.Aim:
        with self.collection(scene) as collection:
            victims, total = self.victims(collection)
        name = self.name(scene)
        return powers.Aim(tuple(f"{name}/{json_util.dumps(v)}" for v in victims), total, destroys=True)

    def capture(self, scene: ports.Scene) -> Mapping[str, Any]:
        """The victims by their ids. Raises Inconclusive when there is none."""
        with self.collection(scene) as collection:
            victims, total = self.victims(collection)
        if not victims:
            raise errors.Inconclusive(f"{self.name(scene)} holds no document that could be hurt; write some first.")
        return {"namespace": self.name(scene), "victims": json_util.dumps(victims), "documents": total}

    @contextmanager
    def collection(self, scene: ports.Scene) -> Iterator[Collection]:
        database, _, name = self.name(scene).partition(".")
        with client(endpoint(scene, self.store)) as found:
            yield found[database].get_collection(name, write_concern=pymongo.WriteConcern("majority", wtimeout=SECONDS * 1000))

    def name(self, scene: ports.Scene) -> str:
        store = scene.stores[self.store]
        assert isinstance(store, ports.Namespaced)  # the plan has made sure
        return self.namespace or store.marks_namespace

    def victims(self, collection: Collection) -> tuple[list[Any], int]:
        """Ids of the share, and how many documents there are."""
        if not 0 < self.share <= 1:
            raise errors.SettingsError(f"The share of documents must be above 0 and at most 1, not {self.share}.")
        ids = [found["_id"] for found in collection.find({}, {"_id": 1}).sort("_id", 1).limit(VICTIMS_AT_MOST)]
        return [one for one in ids if _place(one) < self.share] or ids[:1], len(ids)


def _place(identifier: Any) -> float:
    """Where in [0, 1) a document stands, evenly and always the same, whatever is written beside it."""
    return int.from_bytes(hashlib.sha256(json_util.dumps(identifier).encode()).digest()[:6]) / 2**48


def victims_of(before: Mapping[str, Any]) -> list[Any]:
    found: list[Any] = json_util.loads(before["victims"])
    return found


def receipt(before: Mapping[str, Any], hurt: int, seen: str) -> ports.Receipt:
    """For all victims or, when not all are hurt, for none."""
    count = len(victims_of(before))
    if hurt < count or not count:
        return ports.Receipt((), f"{hurt} of {count} documents of {before['namespace']} are hurt")
    return ports.Receipt((before["namespace"],), f"{hurt} of {before['documents']} documents {seen}")
