"""Backups of one's own servers: a configuration file, continuous capture, the map, operations, a restore to a position, retention."""

import json
from importlib import resources

import pytest
import real_servers

from drplatform.environment import Environment, Settings, Where


@pytest.fixture
def configured(home, mongodb_endpoint_pair, monkeypatch):
    """A configuration with a MongoDB and a directory as repository; and the second server for restores."""

    def written(name, endpoint):
        return home.write(
            name,
            json.dumps({"stores": {"mongodb": {"addresses": [str(a) for a in endpoint.addresses]}}, "repository": {"directory": "vault"}}),
        )

    source, target = mongodb_endpoint_pair
    monkeypatch.setenv("DRPLATFORM_CONFIG", str(written("drplatform.yaml", source)))
    assert home("keys", "generate").code == 0
    return written("target.yaml", target)


def test_from_capture_to_just_before_a_drop(home, configured, mongodb_endpoint_pair):
    source, target = mongodb_endpoint_pair
    first = home("capture", "mongodb", "--for", "2")
    assert first.code == 0 and "no full backup of mongodb yet" in first.err
    with real_servers.mongodb_client(source) as client:
        client.shop.orders.insert_many([{"_id": n} for n in range(50)])
        client.shop.orders.drop()
        client.shop.later.insert_one({"_id": 1})
    again = home("capture", "mongodb", "--for", "3")
    assert again.code == 0 and "Going on from" in again.err

    around = now(home)
    found = home("backups", "operations", "mongodb", "--around", around)
    assert home("mongodb", "operations", "--around", around).out == found.out
    (drop,) = [line for line in found.out.splitlines() if " drop " in line and "shop.orders" in line]
    position = drop.split()[-1]
    listed = json.loads(home("backups", "map", "mongodb", "--json").out)
    assert listed["gaps"] == [] and len(listed["reachable"]) == 1

    restored = home("backups", "restore", "mongodb", "--yes", "--config", configured, "--to", position)
    assert restored.code == 0, restored.err
    with real_servers.mongodb_client(target) as client:
        assert client.shop.orders.count_documents({}) == 50
        assert "later" not in client.shop.list_collection_names()

    refused = home("backups", "restore", "mongodb", "--yes", "--config", configured, "--to", position)
    assert refused.code == 2 and "not empty" in refused.err


def test_an_incremental_backup_continues_a_full_one(home, configured, mongodb_endpoint_pair):
    source, target = mongodb_endpoint_pair
    alone = home("backups", "take", "mongodb", "--kind", "incremental")
    assert alone.code == 1 and "no full backup" in alone.err
    with real_servers.mongodb_client(source) as client:
        client.shop.orders.insert_many([{"_id": n} for n in range(50)])
        assert home("backups", "take", "mongodb", "full").code == 0
        client.shop.orders.delete_many({"_id": {"$lt": 20}})
        client.shop.orders.insert_one({"_id": "later"})
    assert home("backups", "take", "mongodb", "incremental").code == 0
    assert [b["kind"] for b in json.loads(home("backups", "list", "--json").out)["backups"]] == ["full", "incremental"]
    restored = home("backups", "restore", "mongodb", "--yes", "--config", configured)
    assert restored.code == 0, restored.err
    with real_servers.mongodb_client(target) as client:
        assert client.shop.orders.count_documents({}) == 31 and client.shop.orders.find_one({"_id": "later"})


def test_a_moment_that_is_not_reached_is_refused(home, configured):
    assert home("backups", "take", "mongodb", "full").code == 0
    late = home("backups", "restore", "mongodb", "--yes", "--config", configured, "--to", "2999-01-01T00:00:00Z")
    assert late.code == 1 and "choose a moment up to" in late.err
    wrong = home("backups", "restore", "mongodb", "--yes", "--config", configured, "--to", "yesterday")
    assert wrong.code == 2 and "is no moment" in wrong.err


def test_pruning_says_what_it_would_do_and_leaves_what_is_young(home, configured, monkeypatch):
    assert home("backups", "take", "mongodb", "full").code == 0
    repository = Environment.open(Settings.read()).vault(Where(config=home.directory / "drplatform.yaml")).repository
    repository.put("mongodb/full/killed/chunks/000001", b"left by a job that was killed")
    plan = home("backups", "prune", "--dry-run")
    assert plan.code == 0 and "younger than 30 d" in plan.out and "1 backups stay, 0 go" in plan.out
    assert "0 objects belong to none" in plan.out, "they are within their day of grace"
    assert home("backups", "prune", "--yes").code == 0
    assert len(json.loads(home("backups", "list", "--json").out)["backups"]) == 1


def test_pruning_leaves_a_store_alone_whose_newest_backup_has_expired(home, configured, monkeypatch):
    assert home("backups", "take", "mongodb", "full").code == 0
    text = resources.files("drplatform").joinpath("policy.yaml").read_text().replace("retention: 30d", "retention: 0.001s")
    monkeypatch.setenv("DRPLATFORM_POLICY", str(home.write("policy.yaml", text)))
    told = home("backups", "prune", "--yes")
    assert told.code == 2 and "check this clock" in told.err and "1 backups stay" in told.out


def now(home):
    return Environment.open(Settings.read()).clock.utc().isoformat()


def test_a_password_that_is_not_there_is_named_and_never_shown(home, configured, monkeypatch):
    body = {
        "stores": {"mongodb": {"addresses": ["127.0.0.1:1"], "user": "u", "password": {"env": "NO_SUCH_VARIABLE"}}},
        "repository": {"directory": "v"},
    }
    home.write("drplatform.yaml", json.dumps(body))
    told = home("backups", "take", "mongodb", "full")
    assert told.code == 2 and "NO_SUCH_VARIABLE" in told.err and "is not set" in told.err


def test_one_collection_comes_back_beside_live_data(home, configured, mongodb_endpoint_pair):
    with real_servers.mongodb_client(mongodb_endpoint_pair[0]) as client:
        client.shop.orders.insert_many([{"_id": n} for n in range(50)])
        client.shop.users.insert_one({"_id": 1})
        assert home("backups", "take", "mongodb", "full").code == 0
        client.shop.orders.delete_many({"_id": {"$lt": 30}})
        told = home("backups", "restore", "mongodb", "--yes", "--only", "shop.orders")
        assert told.code == 2 and "--rename shop.orders=shop.orders_recovered" in told.err
        told = home("backups", "restore", "mongodb", "--yes", "--only", "shop.orders", "--rename", "shop.orders=shop.orders_recovered")
        assert told.code == 0, told.err
        assert (client.shop.orders.count_documents({}), client.shop.orders_recovered.count_documents({})) == (20, 50)
    assert home("backups", "restore", "mongodb", "--only", "shop").code == 2
    assert home("backups", "restore", "mongodb", "--only", "shop.a", "--rename", "shop.b=shop.c").code == 2


def test_out_to_a_directory_of_the_stock_tools_and_in_again(home, configured, mongodb_endpoint_pair):
    with real_servers.mongodb_client(mongodb_endpoint_pair[0]) as client:
        client.shop.orders.insert_many([{"_id": n} for n in range(50)])
        assert home("backups", "take", "mongodb", "full").code == 0
        client.shop.orders.insert_one({"_id": "later"})
        assert home("backups", "take", "mongodb", "incremental").code == 0
    told = home("mongodb", "export", "dump")
    assert told.code == 0 and "mongorestore --oplogReplay dump" in told.out, told.err
    assert (home.directory / "dump/shop/orders.bson").stat().st_size > 50 * 14 - 1 and (home.directory / "dump/oplog.bson").exists()
    assert home("mongodb", "export", "dump").code == 2, "it is not empty"
    (home.directory / "dump/oplog.bson").unlink()
    mixed = home("mongodb", "import", "dump")
    assert mixed.code == 2 and "name a new place" in mixed.err
    told = home("mongodb", "import", "dump", "--repository", "imported")
    assert told.code == 0, told.err
    assert home("backups", "verify", told.out.split()[0], "--restore", "--repository", "imported").code == 0


def test_a_backup_at_a_bounded_rate(home, configured, mongodb_endpoint_pair):
    with real_servers.mongodb_client(mongodb_endpoint_pair[0]) as client:
        client.shop.orders.insert_many([{"_id": n, "x": "y" * 1000} for n in range(1000)])
    clock = Environment.open(Settings.read()).clock
    began = clock.monotonic()
    assert home("backups", "take", "mongodb", "full", "--rate-limit", "0.5").code == 0
    assert clock.monotonic() - began > 2, "a MB at half a MB a second"
    assert home("backups", "verify", "--all").code == 0
