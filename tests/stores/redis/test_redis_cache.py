"""The state of a server as a cache: targets without room are refused untouched; keys that go missing on the way in are counted and named."""

import dataclasses

import pytest
import redis_cases as cases

from drplatform.model import errors
from drplatform.model.backup import BackupKind
from drplatform.stores import redis as store_redis
from drplatform.stores.redis import cache, restore


@pytest.fixture
def pair(redis_endpoint_pair, clock):
    return tuple(store_redis.connect(endpoint, clock) for endpoint in redis_endpoint_pair)


def dumped(store):
    with store.dump() as dump:
        return {part.name: list(part.blocks()) for part in dump.parts()}, dump.finish()


def restored(store, parts, without=()):
    with store.restore() as running:
        for name, blocks in parts.items():
            if blocks and name not in without:
                running.load(BackupKind.SNAPSHOT, name, iter(blocks))
        running.loaded()
        return running.finish()


def fill(store, count=4000):
    with cases.client(store.endpoint) as r, r.pipeline(transaction=False) as pipe:
        for number in range(count):
            pipe.set(f"k{number}", "x" * 1000, ex=10**6 if number % 4 == 0 else None)
        pipe.execute()


def test_the_backup_holds_the_state_of_the_cache(pair):
    source, target = pair
    fill(source, 400)
    with cases.client(source.endpoint, 3) as r:
        r.set("k", 1)
        r.config_set("maxmemory", "100mb"), r.config_set("maxmemory-policy", "volatile-ttl")
    parts, end = dumped(source)
    state = cache.State.of(parts["cache"])
    assert (state.keys, state.expiring) == ({"db0": 400, "db3": 1}, {"db0": 100, "db3": 0})
    assert (state.limit, state.policy, state.evicted, state.offset) == (100 * 2**20, "volatile-ttl", 0, end.end.sequence[0])
    assert end.counts == {"users": 1, "db0": 400, "db3": 1}
    arrived = restored(target, parts)
    assert (arrived.refused, arrived.left) == ((), ()) and arrived.digests == source.digest()


def test_a_target_without_room_is_refused_before_the_first_byte(pair):
    source, target = pair
    fill(source)
    parts, _ = dumped(source)
    with cases.client(target.endpoint) as r:
        r.config_set("maxmemory", "3mb")
        settings = r.config_get("*")
        with pytest.raises(errors.TargetRefused, match="maxmemory"):
            restored(target, parts)
        assert r.config_get("*") == settings and r.dbsize() == 0
        assert "cmdstat_replicaof" not in r.info("commandstats")


def test_a_target_like_a_source_that_is_full_has_room(pair):
    source = pair[0]
    with cases.client(source.endpoint) as r:
        r.config_set("maxmemory", "4mb"), r.config_set("maxmemory-policy", "allkeys-random")
        fill(source)
        assert r.info("stats")["evicted_keys"] > 0
    state = cache.State.of(dumped(source)[0]["cache"])
    assert cache.without_room(dataclasses.replace(state, used=0), state) == ""
    assert cache.without_room(dataclasses.replace(state, limit=state.limit - 1), dataclasses.replace(state, used=state.limit + 1)) != ""


@pytest.mark.parametrize("loading", ["yes", "no"], ids=["after the load", "while it loads"])
def test_keys_that_the_target_evicts_are_counted(pair, loading):
    """The backup of an older version says nothing of the room it needs."""
    source, target = pair
    fill(source)
    parts, _ = dumped(source)
    with cases.client(target.endpoint) as r:
        r.config_set("maxmemory", "3mb"), r.config_set("maxmemory-policy", "allkeys-random")
        r.config_set("replica-ignore-maxmemory", loading)
        end = restored(target, parts, without=("cache",))
        lost = r.info("stats")["evicted_keys"]
        assert lost > 0 and r.dbsize() < 4000
    assert len(end.refused) == 1 and "evicted" in end.refused[0] and int(end.refused[0].split()[0]) > 0


def test_a_target_that_is_full_and_takes_no_writes_is_named(pair):
    source, target = pair
    fill(source)
    with cases.client(target.endpoint) as r:
        r.config_set("maxmemory", "3mb"), r.config_set("maxmemory-policy", "noeviction")
    end = restored(target, dumped(source)[0], without=("cache",))
    assert len(end.refused) == 1 and "takes no writes" in end.refused[0]


PLANTED = {
    "a key is gone": ("db0", ("DEL", "k1")),
    "one more": ("db0", ("SET", "more", 1)),
    "an expiry is gone": ("db0", ("PERSIST", "k0")),
    "a database is gone": ("db1", ("SWAPDB", 0, 1)),
}


@pytest.mark.parametrize("planted", PLANTED)
def test_a_count_that_is_not_the_snapshots_is_named(pair, monkeypatch, planted):
    """Somebody reaches into the target while it follows the restore."""
    source, target = pair
    fill(source, 40)
    parts, _ = dumped(source)
    name, command = PLANTED[planted]
    real = restore.RedisRestore._await_takeover

    def meddled(running):
        real(running)
        with cases.client(target.endpoint) as r:
            r.config_set("replica-read-only", "no")
            r.execute_command(*command)
            r.config_set("replica-read-only", "yes")

    monkeypatch.setattr(restore.RedisRestore, "_await_takeover", meddled)
    end = restored(target, parts)
    assert end.refused and any(words.startswith(f"{name} of the target had") for words in end.refused)


def test_counts_of_a_source_in_use_are_not_the_snapshots(pair):
    """What was written after the snapshot began is in its counts; they are not held against the target."""
    source, target = pair
    fill(source, 40)
    with source.dump() as dump:
        with cases.client(source.endpoint) as r:
            r.set("later", 1)
        parts = {part.name: list(part.blocks()) for part in dump.parts()}
    end = restored(target, parts)
    assert end.refused == () and cache.State.of(parts["cache"]).keys == {"db0": 41}


def test_a_target_that_will_lose_keys_otherwise_is_named(pair):
    source, target = pair
    fill(source, 40)
    with cases.client(target.endpoint) as r:
        r.config_set("maxmemory", "64mb"), r.config_set("maxmemory-policy", "allkeys-lru")
    end = restored(target, dumped(source)[0])
    assert end.refused == ()
    assert [words.split(":")[0] for words in end.left] == ["maxmemory-policy", "maxmemory"]


def test_a_state_that_cannot_be_read_is_refused():
    for damaged in (b"", b"[]", b"{}", b'{"keys": 1}'):
        with pytest.raises(errors.IntegrityError, match="do not trust this backup"):
            cache.State.of([damaged])
