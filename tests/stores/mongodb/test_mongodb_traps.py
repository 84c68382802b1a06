"""Traps of dumps and restores that the stock tools and others are known for; those that no other test springs."""

import threading

import bson
import mongodb_cases as cases
import pytest

from drplatform.model import clock as clocks
from drplatform.model import errors
from drplatform.model.backup import BackupKind
from drplatform.stores import mongodb
from drplatform.stores.mongodb import oplog, raw


@pytest.fixture
def database(pair):
    with cases.client(pair[0].endpoint) as client:
        yield client.app


def there_and_back(pair, between=lambda: None):
    source, target = pair
    parts, end = cases.take(source, between)
    reached = cases.restore(target, parts)
    assert cases.differences(cases.everything(source.endpoint), cases.everything(target.endpoint)) == []
    cases.require_found(end, reached)


def test_a_hashed_index_on_the_identity_is_not_dropped(database, pair):
    database.things.insert_many([{"_id": n} for n in range(10)])
    database.things.create_index([("_id", "hashed")])
    there_and_back(pair)


def test_small_negative_and_odd_numbers_in_index_keys_stay(database, pair):
    for number, direction in enumerate((-0.1, -1e-9, -1.0, 2.5, bson.Int64(-1), 1)):
        database.command("createIndexes", "things", indexes=[{"key": {f"f{number}": direction}, "name": f"i{number}"}])
    there_and_back(pair)


def test_indexes_that_differ_by_an_option_alone_are_changed_each_for_itself(database, pair):
    """A collMod and a dropIndex go by name, not by key."""
    source, target = pair
    database.things.insert_many([{"_id": n, "a": n} for n in range(5)])
    database.things.create_index("a", name="plain")
    database.things.create_index("a", name="german", collation={"locale": "de"})
    database.things.create_index("a", name="some", partialFilterExpression={"a": {"$gt": 2}})
    parts, end = cases.take(source)
    with cases.captured(source, end.end) as batches:
        database.command("collMod", "things", index={"name": "german", "hidden": True})
        database.things.drop_index("some")
    cases.restore(target, parts, [batch.block for batch in batches])
    assert cases.differences(cases.everything(source.endpoint), cases.everything(target.endpoint)) == []
    assert set(database.things.index_information()) == {"_id_", "plain", "german"}


def test_a_document_that_does_not_load_is_an_error(database, pair):
    """The stock tool goes on, and returns 0."""
    source, target = pair
    database.things.insert_many([{"_id": n} for n in range(5)])
    parts, _ = cases.take(source)
    twice = [
        (name, stage, [b"".join([block, *list(raw.documents(block))[2:3]]) for block in blocks] if stage == 1 else blocks)
        for name, stage, blocks in parts
    ]
    with pytest.raises(errors.IntegrityError, match=r"6 documents of app\.things, and not the 5 that were dumped"):
        cases.restore(target, twice)
    cases.empty(target.endpoint)
    with pytest.raises(errors.RecoveryFailed, match="_id 2 could not be loaded"):
        cases.restore(target, cases.of_an_earlier_version(twice))


def test_an_index_that_cannot_be_unique_any_more_is_an_error(database, pair):
    source, target = pair
    database.things.insert_many([{"_id": n, "u": n} for n in range(5)])
    database.things.create_index("u", unique=True)
    parts, _ = cases.take(source)
    with pytest.raises(errors.StoreError, match="createIndexes"), target.restore() as restore:
        for name, _, blocks in parts:
            restore.load(BackupKind.FULL, name, iter(blocks))
        with cases.client(target.endpoint) as client:
            client.app.things.update_many({}, {"$set": {"u": 1}})
        restore.loaded()


def test_an_index_build_and_a_rename_during_the_dump(database, pair):
    database.things.insert_many([{"_id": n, "a": n % 7, "x": "y" * 50} for n in range(500)])
    done = []

    def meanwhile():
        if not done:
            done.append(database.things.create_index("a"))
            database.things.rename("renamed")
            database.things.insert_one({"_id": "new one of the old name"})

    there_and_back(pair, meanwhile)


def test_capped_collections_keep_their_order(database, pair):
    database.create_collection("log", capped=True, size=100_000)
    database.log.insert_many([{"_id": n} for n in (5, 3, 9, 1, 7)])
    source, target = pair
    parts, _ = cases.take(source)
    cases.restore(target, parts)
    with cases.client(target.endpoint) as client:
        assert [d["_id"] for d in client.app.log.find().sort("$natural", 1)] == [5, 3, 9, 1, 7]


def test_a_database_named_for_others_users_gets_none_of_them(pair):
    """Users and roles of one database come back in that one, with its name in them."""
    source, target = pair
    with cases.client(source.endpoint) as client:
        for name in ("one", "two"):
            client[name].command("dropAllUsersFromDatabase")
            client[name].things.insert_one({"_id": 1})
        client.one.command("createUser", "same", pwd="CANARY-2", roles=["read"])
        client.two.command("createUser", "same", pwd="CANARY-3", roles=["readWrite"])
    try:
        there_and_back(pair)
        with cases.client(target.endpoint) as client:
            (one,), (two,) = (client[name].command("usersInfo", "same")["users"] for name in ("one", "two"))
            assert (one["roles"][0]["role"], one["db"], two["roles"][0]["role"], two["db"]) == ("read", "one", "readWrite", "two")
    finally:
        for store in pair:
            with cases.client(store.endpoint) as client:
                for name in ("one", "two"):
                    client[name].command("dropAllUsersFromDatabase")


def test_a_retryable_write_and_its_noop_are_applied_once(database, pair):
    source, target = pair
    database.things.insert_one({"_id": 1, "n": 0})
    parts, end = cases.take(source)
    with cases.captured(source, end.end) as batches:
        for _ in range(5):
            database.things.find_one_and_update({"_id": 1}, {"$inc": {"n": 1}})
    cases.restore(target, parts, [batch.block for batch in batches])
    with cases.client(target.endpoint) as client:
        assert client.app.things.find_one() == {"_id": 1, "n": 5}


def test_a_dump_that_outlives_the_oplog_is_a_gap_and_never_bridged(database, pair, monkeypatch):
    source, _ = pair
    database.things.insert_one({"_id": 1})
    with pytest.raises(errors.LogGap, match="longer than its oplog reaches back"), source.dump() as dump:
        dump._from = (dump._from[0] - 10**6, 1)
        for part in dump.parts():
            list(part.blocks())


def test_a_slice_that_is_missing_from_the_log_is_a_gap(database, pair):
    source, target = pair
    database.things.insert_one({"_id": 1})
    parts, end = cases.take(source)
    with cases.captured(source, end.end) as batches:
        for number in range(2, 5):
            database.things.insert_one({"_id": number})
            position = source.position()
            cases.reach(source, lambda: batches[-1].last if batches else end.end, threading.current_thread())
            assert position
    blocks = [batch.block for batch in batches]
    assert len(blocks) >= 3
    with pytest.raises(errors.LogGap, match="hole"):
        cases.restore(target, parts, [*blocks[:1], *blocks[2:]])


def test_dumps_are_read_from_a_secondary_where_that_is_asked(pair, clock):
    """With one member there is none: the primary serves."""
    import dataclasses

    source, target = pair
    with cases.client(source.endpoint) as client:
        client.app.things.insert_many([{"_id": n} for n in range(10)])
    asked = dataclasses.replace(source.endpoint, options={**source.endpoint.options, "read_from": "secondary"})
    parts, _ = cases.take(mongodb.connect(asked, clock))
    assert cases.restore(target, parts).counts["app.things"] == 10


def test_a_check_of_the_members_against_each_other_changes_nothing(database, pair):
    """The server's dbCheck writes what it found into the log, as commands that name no command."""
    source, target = pair
    database.things.insert_many([{"_id": n} for n in range(10)])

    def check():
        database.command("dbCheck", "things")
        with cases.client(source.endpoint) as client:
            told = lambda: client.local["oplog.rs"].find_one({"o.dbCheck": {"$exists": 1}, "o.type": "stop"}, sort=[("$natural", -1)])  # noqa: E731
            clocks.wait_for(source._members.clock, "the end of the check", lambda: (told() or {"ts": 0})["ts"] != last[-1], within=20)
            last.append(told()["ts"])
        database.things.insert_one({"checks": len(last)})

    last = [0]
    parts, end = cases.take(source, check)
    check()
    increment, until = cases.take(source, since=end.end)
    with cases.captured(source, until.end) as batches:
        check()
    cases.restore(target, parts, [batch.block for batch in batches], increments=[increment])
    assert cases.differences(cases.everything(source.endpoint), cases.everything(target.endpoint)) == []
    assert len(last) > 4
    assert not any(each.verb == "dbCheck" for batch in batches for each in oplog.operations(batch.block))
