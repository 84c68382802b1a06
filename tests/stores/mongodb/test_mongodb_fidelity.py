"""Everything that makes a database comes back as it was, the traps of stock tools included; read by another client than the store's own."""

import datetime
import re

import bson
import mongodb_cases as cases
import pytest
from bson import Binary, Code, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp

from drplatform.stores.mongodb import scan

MIB = 1024 * 1024
EVERY_TYPE = {
    "double": 1.5, "nan": float("nan"), "infinite": float("-inf"), "minus zero": -0.0, "text": "ü\0x", "embedded": {"a": {"b": []}}, "list": [1, [2]],
    "bytes": Binary(b"\0\1"), "uuid": Binary(b"0123456789abcdef", 4), "own": Binary(b"x", 128), "oid": ObjectId(b"0123456789ab"), "true": True,
    "date": datetime.datetime(1969, 12, 31, 23, 59, 59, 999000, datetime.UTC), "null": None, "regex": Regex("^a", "im"), "code": Code("return 1"),
    "scope": Code("return x", {"x": 1}), "int": 7, "stamp": Timestamp(5, 6), "long": Int64(7), "decimal": Decimal128("1.10"), "min": MinKey(),
    "max": MaxKey(), "ref": DBRef("other", 1), "nested empty stamp": {"t": Timestamp(0, 0)},
}  # fmt: skip


@pytest.fixture
def there_and_back(pair):
    """Dump the source, restore into the target; the end of the restore. What differs fails the test."""
    source, target = pair

    def run(between=lambda: None):
        parts, end = cases.take(source, between)
        reached = cases.restore(target, parts)
        assert cases.differences(cases.everything(source.endpoint), cases.everything(target.endpoint)) == []
        assert reached.refused == ()
        cases.require_found(end, reached)
        return end

    return run


@pytest.fixture
def database(pair):
    with cases.client(pair[0].endpoint) as client:
        yield client.app


def test_every_type_of_value(database, there_and_back):
    database.things.insert_one({"_id": 1, **EVERY_TYPE})
    there_and_back()


def test_identities_of_mixed_types(database, there_and_back):
    identities = [1, 1.5, Int64(2), "1", None, True, b"1", ObjectId(b"0123456789ab"), {"a": 1}, Timestamp(1, 1), MinKey(), MaxKey(), Decimal128("3"),
                  datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC), Binary(b"0123456789abcdef", 4)]  # fmt: skip
    database.mixed.insert_many([{"_id": identity, "n": n} for n, identity in enumerate(identities)])
    there_and_back()


def test_documents_at_the_limit(database, there_and_back):
    room = 16 * MIB - len(bson.encode({"_id": 1, "x": ""}))
    database.large.insert_many([{"_id": n, "x": "y" * room} for n in range(3)])
    there_and_back()


def test_empty_timestamps_stay_empty(database, there_and_back):
    """The server puts the time into those of inserted and replacing documents."""
    database.stamps.update_one({"_id": 1}, {"$set": {"t": Timestamp(0, 0), "n": 1}}, upsert=True)
    assert database.stamps.find_one({"_id": 1})["t"] == Timestamp(0, 0)
    there_and_back()


def test_empty_timestamps_stay_empty_where_the_document_was_made_again_during_the_dump(database, pair, there_and_back, monkeypatch):
    """Then it is both among the documents and in the dump's log, and is repeated over itself."""
    database.stamps.insert_many([{"_id": n, "x": "y" * 100} for n in range(50)])

    def again():
        for number in (0, 25, 49):
            database.stamps.delete_one({"_id": number})
            database.stamps.update_one({"_id": number}, {"$set": {"t": Timestamp(0, 0)}}, upsert=True)
            database.stamps.update_one({"_id": number}, [{"$replaceWith": {"_id": "$_id", "t": Timestamp(0, 0), "short": 1}}])

    there_and_back(again)
    assert database.stamps.find_one({"_id": 25})["t"] == Timestamp(0, 0)


def test_views_validators_collations_and_kinds_of_collections(database, there_and_back):
    database.people.insert_many([{"_id": n, "name": f"n{n}", "age": n} for n in range(20)])
    database.create_collection("grown", viewOn="people", pipeline=[{"$match": {"age": {"$gte": 18}}}], collation={"locale": "de"})
    database.create_collection("older", viewOn="grown", pipeline=[], collation={"locale": "de"})
    database.create_collection(
        "strict", validator={"$jsonSchema": {"required": ["x"]}}, validationAction="warn", validationLevel="moderate"
    )
    database.create_collection("ring", capped=True, size=4096, max=5)
    database.ring.insert_many([{"_id": n} for n in (3, 1, 2, 9, 8, 7)])
    database.create_collection("clustered", clusteredIndex={"key": {"_id": 1}, "unique": True, "name": "own name"})
    database.clustered.insert_many([{"_id": n} for n in range(5)])
    database.create_collection(
        "measured", timeseries={"timeField": "t", "metaField": "m", "granularity": "minutes"}, expireAfterSeconds=10**7
    )
    now = datetime.datetime.now(datetime.UTC)
    database.measured.insert_many([{"t": now - datetime.timedelta(minutes=n), "m": {"s": n % 3}, "v": n} for n in range(200)])
    database.create_collection("german", collation={"locale": "de", "strength": 1})
    database.german.insert_one({"_id": "Ä"})
    database.create_collection("images", changeStreamPreAndPostImages={"enabled": True})
    database.create_collection("empty")
    there_and_back()


def test_indexes_with_all_their_options(database, there_and_back):
    things = database.things
    things.insert_many(
        [
            {"_id": n, "a": n, "b": f"{n}", "list": [n], "place": [n, n], "when": datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)}
            for n in range(9)
        ]
    )
    things.create_index("a", unique=True, sparse=True, name="ünique")
    things.create_index([("b", -1), ("a", 1)], partialFilterExpression={"a": {"$gt": 2}}, collation={"locale": "fr"}, hidden=True)
    things.create_index([("b", "hashed")])
    things.create_index([("place", "2dsphere")], **{"2dsphereIndexVersion": 3})
    things.create_index([("flat", "2d")], bits=20, min=-10.0, max=10.0)
    things.create_index([("$**", 1)], wildcardProjection={"a": 0, "_id": 0})
    things.create_index("when", expireAfterSeconds=10**9)
    things.create_index([("z", 1), ("b", "text"), ("c", "text")], weights={"b": 3}, default_language="german", language_override="sprache")
    there_and_back()


def test_a_text_index_that_expires(database, there_and_back):
    """The server lists it in a form that it refuses itself."""
    database.things.create_index([("b", "text")], expireAfterSeconds=10**8)
    there_and_back()


@pytest.mark.parametrize("field", ["$dollar", "dotted.name", ""])
def test_field_names_that_only_some_ways_of_writing_take(database, there_and_back, field):
    database.things.insert_one({"_id": 1, field: 1, "sub": {field: 2}})
    there_and_back()


def test_names_that_need_care(database, pair, there_and_back):
    with cases.client(pair[0].endpoint) as client:
        for name in ("a.b.c", "ünïcode", "with space", "100%", "x" * 150, "enxcol_.almost"):
            client["odd-database"][name].insert_one({"_id": name})
    there_and_back()
    with cases.client(pair[1].endpoint) as client:
        client.drop_database("odd-database")


def test_files_in_gridfs(database, there_and_back):
    import gridfs

    files = gridfs.GridFSBucket(database, "pdfs")
    files.upload_from_stream("a.pdf", bytes(700_000), metadata={"owner": "x"})
    files.upload_from_stream("empty.pdf", b"")
    there_and_back()


def test_users_and_roles(pair, there_and_back):
    with cases.client(pair[0].endpoint) as client:
        client.app.command("createRole", "reads", privileges=[{"resource": {"db": "app", "collection": ""}, "actions": ["find"]}], roles=[])
        client.app.command("createUser", "anna", pwd="CANARY-1", roles=["reads", "dbAdmin"], customData={"team": "x"})
    try:
        there_and_back()
        with cases.client(pair[1].endpoint) as restored:
            assert restored.app.command("usersInfo", "anna")["users"][0]["customData"] == {"team": "x"}
            assert restored.app.command("rolesInfo", "reads", showPrivileges=True)["roles"][0]["privileges"]
    finally:
        for endpoint in (each.endpoint for each in pair):
            with cases.client(endpoint) as client:
                client.app.command("dropAllRolesFromDatabase")


def test_a_dump_in_parts_of_identities_of_mixed_types(database, there_and_back, monkeypatch):
    monkeypatch.setattr(scan, "PART_BYTES", 2_000)
    monkeypatch.setattr(scan, "BLOCK_BYTES", 700)
    database.mixed.insert_many([{"_id": n, "x": "y" * 90} for n in range(100)] + [{"_id": f"s{n}", "x": "y" * 90} for n in range(100)])
    database.mixed.insert_many([{"_id": {"k": n}, "x": "y" * 90} for n in range(100)])
    there_and_back()


def test_a_difference_would_be_found(database, pair):
    """The positive control: one changed document, one missing index, one other option."""
    source, target = pair
    database.things.insert_many([{"_id": n} for n in range(5)])
    database.things.create_index("a")
    parts, _ = cases.take(source)
    cases.restore(target, parts)
    with cases.client(target.endpoint) as restored:
        for spoil in (
            lambda: restored.app.things.update_one({"_id": 3}, {"$set": {"x": 1}}),
            lambda: restored.app.things.drop_index("a_1"),
            lambda: restored.app.command("collMod", "things", validator={"x": 1}),
        ):
            cases.empty(target.endpoint)
            cases.restore(target, parts)
            assert cases.differences(cases.everything(source.endpoint), cases.everything(target.endpoint)) == []
            spoil()
            assert cases.differences(cases.everything(source.endpoint), cases.everything(target.endpoint)) == ["app.things"]


def test_occupants_are_what_a_restore_would_meet(database, pair):
    source, target = pair
    assert target.occupants() == ()
    database.things.insert_one({})
    assert any(re.search("things", name) for name in source.occupants())


def test_a_collection_renamed_over_another_during_the_dump_is_not_counted(database, pair, there_and_back):
    """What was read of the one that had the name before is not what is there at the end."""
    database.a.insert_many([{"_id": n} for n in range(5)])
    database.create_collection("b")
    database.c.insert_one({"_id": 1})
    renamed = []

    def rename():
        if not renamed:
            renamed.append(database.a.rename("b", dropTarget=True))

    end = there_and_back(rename)
    assert renamed and {name for name in end.counts if name.startswith("app.")} == {"app.c"} and end.counts["app.c"] == 1
