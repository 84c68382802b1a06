"""Backups read from a secondary, while the primary goes on."""

import contextlib

import mongodb_cases as cases
import pymongo
import pytest
import real_servers

from drplatform.model.ports import Address, Endpoint
from drplatform.stores import mongodb
from drplatform.stores.mongodb import members


@pytest.fixture
def two_members():
    """A replica set of a primary and a secondary that has no vote."""
    with contextlib.ExitStack() as stack:
        first = real_servers.start_mongodb()
        stack.callback(first.close)
        second = _another(first)
        stack.callback(second.close)
        second.start()
        with real_servers.mongodb_client(second.endpoint) as client, real_servers.mongodb_client(first.endpoint) as primary:
            second.wait(lambda: client.admin.command("ping"), pymongo.errors.PyMongoError)
            config = primary.admin.command("replSetGetConfig")["config"]
            config["version"] += 1
            config["members"].append({"_id": 1, "host": str(second.endpoint.addresses[0]), "priority": 0, "votes": 0})
            primary.admin.command("replSetReconfig", config)
            second.wait(lambda: client.admin.command("hello").get("secondary"), pymongo.errors.PyMongoError)
        yield first.endpoint.addresses[0], second.endpoint.addresses[0]


def _another(first):
    directory, (port,) = real_servers._directory(), real_servers.free_ports(1)
    (directory / "data").mkdir()
    command = list(first.command)
    command[command.index("--dbpath") + 1], command[command.index("--port") + 1] = str(directory / "data"), str(port)
    return real_servers.Server(directory, command, Endpoint("mongodb", (Address("127.0.0.1", port),), {"replica_set": "test"}))


def test_a_full_and_an_incremental_backup_from_the_secondary(two_members, mongodb_endpoint, clock):
    primary, secondary = two_members
    options = {"replica_set": "test", "read_from": "secondary"}
    store = mongodb.connect(Endpoint("mongodb", (primary, secondary), options), clock)
    target = mongodb.connect(mongodb_endpoint, clock)
    with store._members.best() as wire:
        assert wire.address == secondary
    with cases.client(Endpoint("mongodb", (primary,))) as client:
        things = client.app.get_collection("things", write_concern=pymongo.WriteConcern(w=2, wtimeout=30000))
        things.insert_many([{"_id": n, "x": n} for n in range(100)])
        things.create_index("x")
        full, end = cases.take(store, lambda: things.update_one({"_id": 1}, {"$inc": {"x": 1000}}))
        things.update_many({"_id": {"$lt": 50}}, {"$inc": {"n": 1}})
        things.delete_many({"_id": {"$gte": 90}})
        step, _ = cases.take(store, since=end.end)
    cases.restore(target, full, increments=[step])
    expected = cases.everything(Endpoint("mongodb", (primary,)))
    assert cases.differences(expected, cases.everything(target.endpoint)) == []


def test_a_member_that_knows_no_majority_yet_is_the_one_that_knows_least():
    """So says the server's answer to `hello` right after a start or an election."""
    from bson import Timestamp

    fresh = {"lastWrite": {"opTime": {"ts": Timestamp(7, 1)}}}
    settled = {"lastWrite": {"opTime": {"ts": Timestamp(7, 1)}, "majorityOpTime": {"ts": Timestamp(1, 1)}}}
    assert members._committed(fresh) == (0, 0) < members._committed(settled) == (1, 1)
