"""A server's own files, judged by what a real server makes of them."""

import shutil

import pytest
import redis
import redis_cases as cases

from drplatform.model import errors
from drplatform.model.backup import BackupKind
from drplatform.stores import redis as store_redis
from drplatform.stores.redis import disk, stream


@pytest.fixture
def server(redis_servers):
    return redis_servers()


@pytest.fixture
def store(server, clock):
    return store_redis.connect(server.endpoint, clock)


@pytest.fixture
def target(redis_servers, clock):
    return store_redis.connect(redis_servers().endpoint, clock)


def rise(server):
    server.start()
    with cases.client(server.endpoint) as r:
        server.wait(r.ping, redis.RedisError)


def load(target, found: disk.Recovered):
    with target.restore() as restore:
        restore.load(BackupKind.SNAPSHOT, "rdb", found.blocks())
        restore.replay(found.log(), None)
        return restore.finish()


def filled(server, store, **settings):
    """Content from before and after a rewrite of the append-only file."""
    with cases.client(server.endpoint) as r:
        for name, value in settings.items():
            r.config_set(name.replace("_", "-"), value)
        cases.write(store, "early", range(50))
        if settings.get("rewrite", True):
            r.bgrewriteaof()
            server.wait(lambda: r.info("persistence")["aof_rewrite_in_progress"] == 0)
        store.seed(4, 120)
        with r.pipeline() as pipe:
            pipe.set("in", "a transaction").rpush("and", "another").execute()
        cases.write(store, "late", range(50))
        r.config_set("appendfsync", "always"), r.set("last", 1)


@pytest.mark.parametrize("settings", [{}, {"aof_use_rdb_preamble": "no"}, {"aof_timestamp_enabled": "yes"}])
def test_the_directory_of_a_dead_server_is_restored_as_that_server_would_start(server, store, target, settings):
    filled(server, store, **settings)
    held = cases.everything(server.endpoint)
    server.kill()
    found = disk.read(server.directory)
    load(target, found)
    assert cases.everything(target.endpoint) == held
    assert found.left_out == []


def test_a_server_with_snapshots_alone(server, store, target):
    filled(server, store)
    with cases.client(server.endpoint) as r:
        r.save(), r.set("after", "the snapshot"), r.config_set("appendonly", "no")
    held = {name: value for name, value in cases.everything(server.endpoint).items() if name != (0, b"after")}
    server.kill()
    shutil.rmtree(server.directory / "appendonlydir")
    load(target, disk.read(server.directory))
    assert cases.everything(target.endpoint) == held


def test_a_torn_end_is_left_out_and_named(server, store, target):
    filled(server, store)
    server.kill()
    tail = sorted((server.directory / "appendonlydir").glob("*.incr.aof"))[-1]
    tail.write_bytes(tail.read_bytes()[:-3])
    found = disk.read(server.directory)
    load(target, found)
    assert len(found.left_out) == 1 and tail.name in found.left_out[0]
    rise(server)  # a server drops the torn end too, and only logs it
    assert cases.everything(target.endpoint) == cases.everything(server.endpoint)
    with cases.client(target.endpoint) as r:
        assert r.get("last") is None and r.llen("drplatform:marks:late") == 50


def test_holes_and_damage_are_refused(server, store, target, tmp_path):
    filled(server, store)
    server.kill()
    folder = server.directory / "appendonlydir"
    with pytest.raises(errors.SettingsError, match="no files"):
        disk.read(tmp_path)
    (base,), (tail,) = folder.glob("*.base.rdb"), folder.glob("*.incr.aof")
    whole = base.read_bytes()
    base.write_bytes(whole[:200] + bytes([whole[200] ^ 4]) + whole[201:])
    with pytest.raises(errors.IntegrityError):
        load(target, disk.read(server.directory))
    assert target.occupants() == ()
    base.write_bytes(whole)
    tail.write_bytes(tail.read_bytes()[:3000] + bytes(64) + tail.read_bytes()[3064:])
    with pytest.raises(errors.IntegrityError):
        list(disk.read(server.directory).log())
    tail.unlink()
    with pytest.raises(errors.IntegrityError, match=tail.name):
        disk.read(server.directory)


@pytest.mark.parametrize("parts", [True, False])
def test_a_stock_server_starts_from_what_was_written(server, redis_servers, store, clock, parts):
    store.seed(1, 100)
    blocks, end = cases.snapshot(store)
    with cases.Capture(store, end, clock) as capture:
        cases.write(store, "c", range(100))
        capture.upto_now()
    operations = list(store.operations(capture.log))
    stock = redis_servers()
    stock.kill()
    shutil.rmtree(stock.directory / "appendonlydir")
    reached = disk.write(stock.directory, iter(blocks), iter([capture.log]), operations[60].before, parts=parts)
    assert reached.sequence == operations[60].before.sequence
    again = disk.read(stock.directory)
    assert b"".join(again.blocks()) == b"".join(blocks)
    applied = b"".join(frame.data for frame in stream.frames(again.log()))
    assert len(applied) == reached.sequence[0] - end.sequence[0]
    with pytest.raises(errors.TargetRefused, match="already"):
        disk.write(stock.directory, iter(blocks), iter([]), None)
    rise(stock)
    started = store_redis.connect(stock.endpoint, clock)
    assert started.digest() == store.digest()
    assert [mark.number for mark in started.marks()] == list(range(60))
