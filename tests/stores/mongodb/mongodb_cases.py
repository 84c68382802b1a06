"""What the tests of the MongoDB store share: an independent reading of a server, dumps as bytes, captured logs, a random workload."""

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import bson
import pymongo
import pymongo.errors
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument

from drplatform.model import clock as clocks
from drplatform.model.backup import BackupKind
from drplatform.model.ports import DumpEnd, Endpoint, LogBatch, RestoreEnd
from drplatform.model.position import Position
from drplatform.stores.mongodb import contents, dump, scan, wire
from drplatform.stores.mongodb.store import MongoStore

RAW = CodecOptions(document_class=RawBSONDocument)
Parts = list[tuple[str, int, list[bytes]]]


def client(endpoint: Endpoint) -> pymongo.MongoClient:
    first = endpoint.addresses[0]
    return pymongo.MongoClient(first.host, first.port, directConnection=True, serverSelectionTimeoutMS=20000)


def everything(endpoint: Endpoint) -> dict[str, Any]:
    """Every collection's documents as bytes, its indexes and options, and the users: read by another client than the store's own."""
    found: dict[str, Any] = {}
    with client(endpoint) as c:
        for name in c.list_database_names():
            if name in ("admin", "local", "config", "drplatform"):
                continue
            for listed in c[name].list_collections():
                found[f"{name}.{listed['name']}"] = _collection(c[name], listed)
        found["users"] = sorted(bytes(d.raw) for d in c.admin.get_collection("system.users", codec_options=RAW).find())
    return found


def _collection(database: Any, listed: dict[str, Any]) -> Any:
    options = sorted(listed["options"].items())
    if listed["type"] != "collection":
        return listed["type"], options
    documents = [bytes(d.raw) for d in database.get_collection(listed["name"], codec_options=RAW).find().hint([("$natural", 1)])]
    if not listed["options"].get("capped"):
        documents.sort()
    indexes = sorted(bson.encode(dict(sorted(i.items()))) for i in database[listed["name"]].list_indexes())
    return documents, indexes, options


def empty(endpoint: Endpoint) -> None:
    with client(endpoint) as c:
        for name in c.list_database_names():
            if name not in ("admin", "local", "config"):
                c.drop_database(name)
        for database in {"admin", *c.admin["system.users"].distinct("db"), *c.admin["system.roles"].distinct("db")}:
            c[database].command("dropAllUsersFromDatabase")
            c[database].command("dropAllRolesFromDatabase")


def in_small_batches(monkeypatch: Any) -> None:
    """Several batches a collection, each sent when it is asked for, so that things happen while one is read."""
    monkeypatch.setattr(scan, "BLOCK_BYTES", 700)
    monkeypatch.setattr(wire, "_EXHAUST_ALLOWED", 0)


def differences(expected: dict[str, Any], found: dict[str, Any]) -> list[str]:
    return [name for name in sorted({*expected, *found}) if expected.get(name) != found.get(name)]


def take(store: MongoStore, between: Callable[[], None] = lambda: None, since: Position | None = None) -> tuple[Parts, DumpEnd]:
    """A dump (since a position: an incremental one), read in one thread; `between` is called before each part and after each block."""
    parts: Parts = []
    with store.dump_since(since) if since else store.dump() as dump:
        for part in dump.parts():
            between()
            blocks = []
            for block in part.blocks():
                blocks.append(block)
                if part.name != "oplog":
                    between()
            parts.append((part.name, part.stage, blocks))
        return parts, dump.finish()


def of_an_earlier_version(parts: Parts) -> Parts:
    """The dump as it was when it did not say what it had read of each collection."""

    def head(block: bytes) -> bytes:
        told = bson.decode(block)
        assert told.pop(contents.CONTENTS)
        return bson.encode(told)

    return [(name, stage, [head(blocks[0]), *blocks[1:]] if name == dump.LOG else blocks) for name, stage, blocks in parts]


@contextlib.contextmanager
def captured(store: MongoStore, after: Position) -> Iterator[list[LogBatch]]:
    """Follow the log meanwhile; on leaving, everything done until then is in the list."""
    batches: list[LogBatch] = []
    failed: list[BaseException] = []
    stop = threading.Event()

    def follow() -> None:
        try:
            batches.extend(batch for batch in store.follow(after, stop) if batch.block)
        except BaseException as error:  # noqa: BLE001 -- the body of a thread: raised below
            failed.append(error)

    # extend() with a generator hands items over one at a time
    thread = threading.Thread(target=follow)
    thread.start()
    try:
        yield batches
        reach(store, lambda: batches[-1].last if batches else after, thread)
    finally:
        stop.set()
        thread.join(20)
    if failed:
        raise failed[0]


def reach(store: MongoStore, last: Callable[[], Position], thread: threading.Thread) -> None:
    end = store.position()
    clocks.wait_for(
        store._members.clock, "the capture to be there", lambda: not thread.is_alive() or last() >= end, within=20, ignoring=(IndexError,)
    )


def restore(
    store: MongoStore, parts: Parts, blocks: list[bytes] | None = None, until: Position | None = None, increments: Sequence[Parts] = ()
) -> RestoreEnd:
    with store.restore() as target:
        for kind, backup in ((BackupKind.FULL, parts), *((BackupKind.INCREMENTAL, each) for each in increments)):
            for name, _, content in sorted(backup, key=lambda part: part[1]):
                target.load(kind, name, iter(content))
        target.loaded(last=blocks is None)
        if blocks is not None:
            target.replay(iter(blocks), until)
        return target.finish()


def require_found(end: DumpEnd, reached: RestoreEnd) -> None:
    """What the dump knows at its end is what the restore of it found, and of each such collection it has compared the content itself."""
    assert {name: reached.digests.get(name) for name in end.digests} == dict(end.digests)
    assert {name: reached.counts.get(name) for name in end.counts} == dict(end.counts)
    assert set(end.counts) <= reached.compared


# -- the workload -------------------------------------------------------------------------------------------------------------

NAMES = ("orders", "users", "odd name/with.dots", "neu\nzeile", "later")
_START = datetime(2024, 1, 1, tzinfo=UTC)


class Workload:
    """Random steps on the database `app`, reproducible from the generator. What the server refuses did not happen, as in life."""

    def __init__(self, endpoint: Endpoint, generator: Random) -> None:
        self.client, self.random = client(endpoint), generator
        self.db = self.client.app
        self.steps = 0

    def prepare(self) -> None:
        for name in NAMES[:4]:
            self.db[name].insert_many([self.document({"start": n}) for n in range(5)] + [self.document(n) for n in range(15)])
        self.db.users.create_index("unique", unique=True, sparse=True)
        self.db.create_collection("log", capped=True, size=8192, max=12)
        self.db.log.insert_many([{"_id": f"old-{n}"} for n in range(10)])
        self.db.create_collection("metrics", timeseries={"timeField": "t", "metaField": "m"})
        self.db.create_collection("clustered", clusteredIndex={"key": {"_id": 1}, "unique": True})
        self.db.create_collection("collated", collation={"locale": "en", "strength": 2})

    def close(self) -> None:
        self.client.close()

    def step(self) -> str:
        """One random step; its name."""
        self.steps += 1
        act = self.random.choices(_ACTS, weights=[weight for _, weight in _WEIGHTED])[0]
        with contextlib.suppress(pymongo.errors.PyMongoError):
            act(self)
        return act.__name__

    def some(self) -> Any:
        return self.db[self.random.choice(NAMES)]

    def identity(self) -> Any:
        number = self.random.randrange(25)
        return self.random.choice(
            [number, float(number) + 0.5, f"k{number}", {"n": number}, bson.Int64(number), bson.ObjectId(b"%012d" % number)]
        )

    def value(self) -> Any:
        r = self.random
        return r.choice(
            [r.randrange(100), r.random(), "x" * r.randrange(200), None, True, [1, {"a": r.randrange(5)}], {"b": {"c": r.randrange(9)}}]
        )

    def document(self, identity: Any = None) -> dict[str, Any]:
        chosen = self.identity() if identity is None else identity
        fields = {self.random.choice("abcdef"): self.value() for _ in range(self.random.randrange(5))}
        array = [self.random.randrange(9) for _ in range(self.random.randrange(6))]
        return {
            "_id": chosen,
            **fields,
            "n": self.random.randrange(50),
            "list": array,
            "unique": self.random.getrandbits(40),
            "sub": {"x": 1},
        }

    # -- steps --

    def insert(self) -> None:
        self.some().insert_one(self.document())

    def insert_several(self) -> None:
        self.some().insert_many([self.document() for _ in range(5)], ordered=False)

    def update(self) -> None:
        r = self.random
        change = r.choice(
            [
                {"$set": {"a": self.value(), "sub.y": r.randrange(9)}},
                {"$unset": {"b": 1, "sub.x": 1}},
                {"$inc": {"n": 1, "counters.total": 2}},
                {"$mul": {"n": 3}},
                {"$min": {"n": r.randrange(50)}},
                {"$max": {"n": r.randrange(50)}},
                {"$rename": {"c": "d"}},
                {"$push": {"list": {"$each": [r.randrange(9), 3], "$slice": -5, "$sort": 1}}},
                {"$push": {"list": {"$each": [7], "$position": 1}}},
                {"$pull": {"list": {"$gt": 4}}},
                {"$pullAll": {"list": [1, 2]}},
                {"$addToSet": {"list": r.randrange(9)}},
                {"$pop": {"list": r.choice([1, -1])}},
                {"$bit": {"n": {"xor": 5}}},
                {"$currentDate": {"when": True, "stamp": {"$type": "timestamp"}}},
                {"$set": {"empty": bson.Timestamp(0, 0), "list.0": 42}},
                {"$setOnInsert": {"fresh": True}, "$set": {"e": self.value()}},
                [{"$set": {"sum": {"$add": ["$n", 1]}, "sub": {"$mergeObjects": ["$sub", {"z": 1}]}}}, {"$unset": "f"}],
            ]
        )
        self.some().update_one({"_id": self.identity()}, change, upsert=r.random() < 0.2)

    def update_many(self) -> None:
        self.some().update_many(
            {"n": {"$lt": self.random.randrange(50)}}, {"$inc": {"n": 1}, "$set": {"list.$[e]": 0}}, array_filters=[{"e": 5}]
        )

    def replace(self) -> None:
        identity = self.identity()
        self.some().replace_one({"_id": identity}, self.document(identity), upsert=self.random.random() < 0.3)

    def delete(self) -> None:
        self.some().delete_one({"_id": self.identity()})

    def delete_many(self) -> None:
        self.some().delete_many({"n": self.random.randrange(50)})

    def swap_unique(self) -> None:
        """Two documents change their unique values, by way of none."""
        found = list(self.db.users.find({"unique": {"$exists": True}}).sort("_id", 1).limit(2))
        if len(found) < 2:
            return
        a, b = found
        self.db.users.update_one({"_id": a["_id"]}, {"$unset": {"unique": 1}})
        self.db.users.update_one({"_id": b["_id"]}, {"$set": {"unique": a["unique"]}})
        self.db.users.update_one({"_id": a["_id"]}, {"$set": {"unique": b["unique"]}})

    def transaction(self) -> None:
        commits = self.random.random() < 0.8
        with self.client.start_session() as session:
            session.start_transaction()
            for _ in range(self.random.randrange(1, 5)):
                coll, identity = self.some(), self.identity()
                coll.update_one({"_id": identity}, {"$set": {"t": self.value()}}, upsert=True, session=session)
            self.some().delete_one({"_id": self.identity()}, session=session)
            session.commit_transaction() if commits else session.abort_transaction()

    def create_in_transaction(self) -> None:
        with self.client.start_session() as session, session.start_transaction():
            name = f"made{self.random.randrange(3)}"
            self.db.create_collection(name, session=session)
            self.db[name].create_index("t", session=session)
            self.db[name].insert_one({"_id": 1, "t": 1}, session=session)

    def create_index(self) -> None:
        key = self.random.choice([[("n", 1)], [("a", 1), ("n", -1)], [("b", "hashed")], [("list", 1)], [("sub.$**", 1)], [("e", "text")]])
        options = self.random.choice(
            [{}, {"sparse": True}, {"partialFilterExpression": {"n": {"$gt": 5}}}, {"hidden": True}, {"expireAfterSeconds": 10**8}]
        )
        self.some().create_index(key, **options)

    def drop_index(self) -> None:
        coll = self.some()
        names = sorted(set(coll.index_information()) - {"_id_"})
        if names:
            coll.drop_index(self.random.choice(names))

    def modify(self) -> None:
        coll = self.some().name
        index = self.random.choice([{"hidden": True}, {"hidden": False}, {"expireAfterSeconds": 2 * 10**8}])
        change = self.random.choice(
            [
                {"validator": {"n": {"$lt": 10**6}}},
                {"validator": {}},
                {"validationLevel": "moderate"},
                {"index": {"keyPattern": {"n": 1}, **index}},
            ]
        )
        self.db.command("collMod", coll, **change)

    def rename(self) -> None:
        a, b = self.random.sample(NAMES, 2)
        self.db[a].rename(b, dropTarget=self.random.random() < 0.5)

    def swap_names(self) -> None:
        a, b = self.random.sample(NAMES, 2)
        self.db[a].rename("between")
        self.db[b].rename(a)
        self.db["between"].rename(b)

    def drop(self) -> None:
        self.some().drop()

    def drop_and_again(self) -> None:
        coll = self.some()
        coll.drop()
        coll.insert_many([self.document(n) for n in range(6)])

    def other_database(self) -> None:
        other = self.client["app_other"]
        if self.random.random() < 0.4:
            self.client.drop_database("app_other")
        else:
            other[self.random.choice("xy")].insert_one(self.document())

    def view(self) -> None:
        if self.random.random() < 0.5:
            self.db["a view"].drop()
        self.db.create_collection("a view", viewOn=self.random.choice(NAMES), pipeline=[{"$match": {"n": self.random.randrange(9)}}])

    def capped(self) -> None:
        self.db.log.insert_many([{"_id": f"{self.steps}-{n}", "x": n} for n in range(self.random.randrange(1, 6))])

    def metrics(self) -> None:
        at = _START + timedelta(minutes=self.random.randrange(600))
        self.db.metrics.insert_many([{"t": at, "m": self.random.randrange(3), "v": self.random.random()} for _ in range(4)])

    def clustered(self) -> None:
        self.db.clustered.update_one({"_id": self.random.randrange(30)}, {"$inc": {"n": 1}}, upsert=True)

    def collated(self) -> None:
        self.db.collated.update_one({"_id": self.random.choice("aAbBcCdD")}, {"$inc": {"n": 1}}, upsert=True)

    def user(self) -> None:
        name = f"user{self.random.randrange(3)}"
        if self.random.random() < 0.5:
            self.client.admin.command("createUser", name, pwd="secret", roles=["read"])
        else:
            self.client.admin.command("dropUser", name)


_WEIGHTED: list[tuple[Callable[[Workload], None], int]] = [
    (Workload.insert, 12),
    (Workload.insert_several, 6),
    (Workload.update, 40),
    (Workload.update_many, 4),
    (Workload.replace, 8),
    (Workload.delete, 8),
    (Workload.delete_many, 3),
    (Workload.swap_unique, 3),
    (Workload.transaction, 10),
    (Workload.create_in_transaction, 1),
    (Workload.create_index, 4),
    (Workload.drop_index, 2),
    (Workload.modify, 3),
    (Workload.rename, 2),
    (Workload.swap_names, 2),
    (Workload.drop, 1),
    (Workload.drop_and_again, 2),
    (Workload.other_database, 2),
    (Workload.view, 2),
    (Workload.capped, 5),
    (Workload.metrics, 3),
    (Workload.clustered, 4),
    (Workload.collated, 3),
    (Workload.user, 1),
]
_ACTS = [act for act, _ in _WEIGHTED]
