"""Directories of the stock tools: what is exported loads elsewhere, what is imported is a backup.

With mongodump and mongorestore on PATH they are used too.
"""

import contextlib
import datetime
import json
import random
import shutil
import subprocess
from urllib.parse import unquote_plus

import bson
import mongodb_cases as cases
import pytest
from bson import json_util

from drplatform.model import errors
from drplatform.model.ports import Endpoint
from drplatform.stores import mongodb

STOCK = pytest.mark.skipif(not shutil.which("mongorestore"), reason="mongorestore is not on PATH")


@pytest.fixture
def database(pair):
    for store in pair:
        with cases.client(store.endpoint) as client:
            client.app.command("dropAllUsersFromDatabase")
    with cases.client(pair[0].endpoint) as client:
        yield client.app


@pytest.fixture
def place(tmp_path, clock):
    """A directory as a store."""
    return mongodb.connect(Endpoint("mongodb", (), {"directory": str(tmp_path / "dump")}), clock)


def various(database):
    database.things.insert_many([{"_id": n, "x": n, "big": "y" * 100} for n in range(50)])
    database.things.create_index([("x", -1)], unique=True, name="by x")
    database.things.create_index([("x", "hashed")])
    database["odd name/with.dots%"].insert_one({"_id": 1})
    database["x" * 235].insert_one({"_id": "long"})
    database.create_collection("ring", capped=True, size=4096, max=5)
    database.ring.insert_many([{"_id": n} for n in (3, 1, 2)])
    database.create_collection("clustered", clusteredIndex={"key": {"_id": 1}, "unique": True})
    database.create_collection("german", collation={"locale": "de"}, validator={"x": {"$ne": 1}})
    database.create_collection("seen", viewOn="things", pipeline=[{"$match": {"x": {"$gt": 10}}}])
    database.create_collection("measured", timeseries={"timeField": "t", "metaField": "m"})
    database.measured.insert_many([{"t": datetime.datetime(2026, 1, 1, n, tzinfo=datetime.UTC), "m": n % 2, "v": n} for n in range(20)])
    database.command("createUser", "anna", pwd="secret", roles=["read"])


def changes(database, seed):
    r = random.Random(seed)
    for _ in range(30):
        with contextlib.suppress(Exception):
            database.things.update_one({"_id": r.randrange(60)}, {"$inc": {"n": 1}}, upsert=True)
        database.things.delete_one({"_id": r.randrange(60)})
        database.ring.insert_one({"_id": r.random()})
    with database.client.start_session() as session, session.start_transaction():
        database.things.insert_one({"_id": f"t{seed}", "x": -seed - 1}, session=session)
        database.clustered.insert_one({"_id": seed}, session=session)
    database.create_collection(f"new {seed}")
    database[f"new {seed}"].insert_one({"_id": 1})


def exported(source, place, database):
    """A full backup, two increments and the log, written into the directory; what the source held then."""
    various(database)
    full, end = cases.take(source, lambda: changes(database, 0) if "new 0" not in database.list_collection_names() else None)
    taken = []
    for seed in (1, 2):
        changes(database, seed)
        step, end = cases.take(source, since=end.end)
        taken.append(step)
    with cases.captured(source, end.end) as batches:
        changes(database, 3)
        database.german.drop()
    cases.restore(place, full, [batch.block for batch in batches], None, taken)
    return cases.everything(source.endpoint)


def load(directory, endpoint):
    """What a stock loader does, by pymongo alone: metadata, documents, the log by applyOps, then the indexes."""
    with cases.client(endpoint) as client:
        described = {
            f: json_util.loads(f.read_text(), json_options=json_util.CANONICAL_JSON_OPTIONS) for f in directory.glob("*/*.metadata.json")
        }
        built = []
        for file, body in sorted(described.items(), key=lambda pair: pair[1]["type"] == "view"):
            database, name = client[file.parent.name], unquote_plus(file.name.removesuffix(".metadata.json"))
            name = body["collectionName"].removeprefix("system.buckets.") if len(file.name) > 222 else name
            if file.parent.name == "admin":
                continue
            options = {k: v for k, v in body["options"].items() if k not in ("uuid",)}
            database.command({"create": name, **options})
            data = file.with_name(
                ("system.buckets." if body["type"] == "timeseries" else "") + file.name.removesuffix(".metadata.json") + ".bson"
            )
            target = database[("system.buckets." if body["type"] == "timeseries" else "") + name]
            for document in bson.decode_all(data.read_bytes(), cases.RAW) if data.exists() else ():
                target.insert_one(document)
            built.append((target, [i for i in body["indexes"] if i["name"] != "_id_" and not i.get("clustered")]))
        log = directory / "oplog.bson"
        for entry in bson.decode_all(log.read_bytes()) if log.exists() else ():
            inner = entry["o"].get("applyOps") if entry["op"] == "c" else None
            for each in inner or [entry]:
                clean = {k: each[k] for k in ("op", "ns", "o", "o2") if k in each}
                if clean["ns"].startswith("admin.") or next(iter(clean["o"])) in ("startIndexBuild", "commitIndexBuild", "createIndexes"):
                    continue
                client.admin.command({"applyOps": [clean], "allowAtomic": False, "alwaysUpsert": True})
        for target, indexes in built:
            if indexes:
                target.database.command({"createIndexes": target.name, "indexes": indexes})


def without_users(found):
    return {name: each for name, each in found.items() if name != "users"}


def test_what_is_exported_loads_without_us(pair, place, database):
    source, target = pair
    expected = exported(source, place, database)
    load(place.path, target.endpoint)
    found = cases.everything(target.endpoint)
    assert cases.differences(without_users(expected), without_users(found)) == []
    users = place.path / "admin" / "system.users.bson"
    assert [u["user"] for u in bson.decode_all(users.read_bytes())] == ["anna"]
    metadata = json.loads((place.path / "app" / "measured.metadata.json").read_text())
    assert metadata["type"] == "timeseries" and len(metadata["uuid"]) == 32


def test_what_is_exported_can_be_imported_again(pair, place, database):
    source, target = pair
    various(database)
    full, end = cases.take(source)
    with cases.captured(source, end.end) as batches:
        changes(database, 1)
    cases.restore(place, full, [batch.block for batch in batches])
    parts, taken = cases.take(place)
    restored = cases.restore(target, parts)
    assert cases.differences(cases.everything(source.endpoint), cases.everything(target.endpoint)) == []
    assert {name: restored.digests.get(name) for name in taken.digests} == dict(taken.digests)


def test_what_is_no_dump_or_not_whole_is_refused(pair, place, database):
    source, _ = pair
    with pytest.raises(errors.SettingsError, match="no directory of mongodump"):
        cases.take(place)
    database.things.insert_many([{"_id": n, "x": "y" * 100} for n in range(50)])
    cases.restore(place, cases.take(source)[0])
    assert "app" in place.occupants()
    file = place.path / "app" / "things.bson"
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(errors.IntegrityError, match="not whole"):
        cases.take(place)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda app: (app / "things.bson").unlink(), r"app/things\.bson is missing, though its metadata is there"),
        (lambda app: (app / "things.metadata.json").unlink(), r"app/things\.bson has no metadata beside it"),
        (lambda app: (app / "things.bson").rename(app / "other.bson"), r"app/things\.bson is missing"),
        (lambda app: (app / "other.bson.gz").touch(), r"app/other\.bson\.gz has no metadata beside it, .*; unpack what ends in \.gz"),
    ],
    ids=["no documents", "no metadata", "another name", "not all unpacked"],
)
def test_a_directory_of_which_something_would_be_left_out_is_refused(pair, place, database, change, told):
    database.things.insert_one({"_id": 1})
    database.empty.insert_one({"_id": 1})
    cases.restore(place, cases.take(pair[0])[0])
    assert cases.take(place)[1].counts["app.things"] == 1
    change(place.path / "app")
    with pytest.raises(errors.IntegrityError, match=told):
        cases.take(place)


@pytest.mark.parametrize(
    ("prelude", "version"),
    [
        ('{"ServerVersion": "98.0.1", "ToolVersion": "100.14.0"}', "mongod 98.0.1"),
        ("{}", "a directory of mongodump"),
        ("[]", "a directory of mongodump"),
        ("cut off {", "a directory of mongodump"),
    ],
)
def test_a_directory_is_of_the_release_that_mongodump_says(pair, place, prelude, version):
    assert place.version() == "a directory of mongodump"
    place.path.mkdir()
    (place.path / "prelude.json").write_text(prelude)
    assert place.version() == version
    assert pair[1].takes(version) == (version == "a directory of mongodump")


@STOCK
def test_mongorestore_loads_what_is_exported(pair, place, database):
    source, target = pair
    expected = exported(source, place, database)
    address = str(target.endpoint.addresses[0])
    subprocess.run(["mongorestore", "--host", address, "--oplogReplay", str(place.path)], check=True, timeout=120)
    assert cases.differences(without_users(expected), without_users(cases.everything(target.endpoint))) == []


@STOCK
def test_a_backup_of_what_mongodump_wrote(pair, place, database):
    source, target = pair
    various(database)
    subprocess.run(["mongodump", "--host", str(source.endpoint.addresses[0]), "--oplog", "--out", str(place.path)], check=True, timeout=120)
    assert place.version() in (source.version(), "a directory of mongodump")  # older ones do not say
    parts, taken = cases.take(place)
    restored = cases.restore(target, parts)
    assert cases.differences(cases.everything(source.endpoint), cases.everything(target.endpoint)) == []
    assert {name: restored.digests.get(name) for name in taken.digests} == dict(taken.digests)
