"""Backups of the files that a dead server left, and restores into files, through the store and real backups."""

import dataclasses
import random
import shutil
import subprocess

import pytest
import redis
import redis_cases as cases

from drplatform.engine import backups
from drplatform.model import errors, ports
from drplatform.model.backup import BackupKind
from drplatform.model.ports import Endpoint
from drplatform.repositories.memory import MemoryRepository
from drplatform.stores import redis as store_redis

RECIPIENT, IDENTITY = backups.generate()


def at(directory, clock, **options):
    return store_redis.connect(Endpoint("redis", options={"directory": str(directory), **options}), clock)


@pytest.fixture
def dead(redis_servers, clock):
    """A server that died with content before and after a rewrite of its append-only file, and what it held."""
    server = redis_servers()
    store = store_redis.connect(server.endpoint, clock)
    with cases.client(server.endpoint) as r:
        store.seed(4, 80)
        r.bgrewriteaof()
        server.wait(lambda: r.info("persistence")["aof_rewrite_in_progress"] == 0)
        cases.write(store, "late", range(50))
        r.config_set("appendfsync", "always"), r.set("last", 1)
    held = cases.everything(server.endpoint)
    server.kill()
    return server, held


def stocked(redis_servers, directory):
    """A stock server that starts from a directory, `appendonly yes`."""
    server = redis_servers()
    server.kill()
    for entry in server.directory.glob("append*"):
        shutil.rmtree(entry)
    shutil.copytree(directory, server.directory, dirs_exist_ok=True)
    return server


def rise(server):
    server.start()
    with cases.client(server.endpoint) as r:
        server.wait(r.ping, redis.RedisError)


def backed_up(source, clock):
    repository = MemoryRepository()
    manifest = backups.back_up(source, BackupKind.SNAPSHOT, repository, [RECIPIENT], clock, random.Random(1))
    return manifest, repository


def restore(repository, target, clock):
    chain = backups.Catalogue(repository).chain_to("redis")
    return backups.restore(chain, target, repository, backups.Opener([IDENTITY]), backups.Lease("redis", target.identity()), clock)


def test_a_dead_region_goes_from_disk_to_disk_and_to_a_server(dead, redis_servers, tmp_path, clock):
    server, held = dead
    source, target = at(server.directory, clock), at(tmp_path, clock)
    assert isinstance(source, ports.DataStore) and not isinstance(source, ports.LogCapture)
    manifest, repository = backed_up(source, clock)
    assert manifest.end == source.position()
    assert manifest.counts["torn ends left out"] == 0 < manifest.counts["log bytes"]
    end = restore(repository, target, clock)
    assert (end.reached, end.refused) == (manifest.end, ())
    stock = stocked(redis_servers, tmp_path)
    rise(stock)
    assert cases.everything(stock.endpoint) == held
    beside = store_redis.connect(redis_servers().endpoint, clock)
    assert restore(repository, beside, clock).reached == manifest.end
    assert cases.everything(beside.endpoint) == held
    assert source.version() == beside.version()


def test_a_torn_end_is_counted_in_the_backup_and_told_by_each_restore(dead, redis_servers, tmp_path, clock):
    server, held = dead
    tail = sorted((server.directory / "appendonlydir").glob("*.incr.aof"))[-1]
    tail.write_bytes(tail.read_bytes()[:-2])
    manifest, repository = backed_up(at(server.directory, clock), clock)
    assert manifest.counts["torn ends left out"] == 1
    beside = store_redis.connect(redis_servers().endpoint, clock)
    for target in (at(tmp_path, clock), beside):
        (told,) = restore(repository, target, clock).refused
        assert tail.name in told
    found = cases.everything(beside.endpoint)
    assert {key: value for key, value in held.items() if key not in found} == {(0, b"last"): held[0, b"last"]}


def test_a_half_written_directory_starts_no_server(dead, redis_servers, tmp_path, clock):
    """The planted defect is a restore that dies before its end: the server must not come up empty."""
    server, _ = dead
    for place, options in ((tmp_path / "parts", {}), (tmp_path / "single", {"aof": "single"})):
        place.mkdir()
        with at(server.directory, clock).dump() as dump, at(place, clock, **options).restore() as target:
            for part in dump.parts():
                target.load(BackupKind.SNAPSHOT, part.name, part.blocks())
        stock = stocked(redis_servers, place)
        started = subprocess.run(stock.command, capture_output=True, text=True, timeout=20, check=False)
        assert started.returncode == 1, started.stdout[-500:]
        with at(place, clock).restore() as again, pytest.raises(errors.TargetRefused, match="append"):
            again.load(BackupKind.SNAPSHOT, "rdb", iter([b""]))


def test_a_directory_that_holds_something_is_refused_untouched(dead, tmp_path, clock):
    _, repository = backed_up(at(dead[0].directory, clock), clock)
    (tmp_path / "dump.rdb").write_bytes(b"somebody's")
    with pytest.raises(errors.TargetRefused, match=r"dump\.rdb"):
        restore(repository, at(tmp_path, clock), clock)
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("dump.rdb", b"somebody's")]


def test_what_needs_a_server_says_so(tmp_path, clock):
    store = at(tmp_path, clock)
    with pytest.raises(errors.StoreError, match="start a server"):
        store.seed(1, 1)
    with pytest.raises(errors.SettingsError, match="no files"), store.dump():
        pass
    gone = dataclasses.replace(store.endpoint, options={"directory": str(tmp_path / "gone")})
    with pytest.raises(errors.SettingsError, match="gone"):
        store_redis.connect(gone, clock).identity()
