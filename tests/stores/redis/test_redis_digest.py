"""The digest: equal for equal content however it is kept, different for any difference a client could see."""

import threading
import tracemalloc

import pytest
import redis_cases as cases

from drplatform.stores import redis as store_redis

MIB = 1024 * 1024


@pytest.fixture
def pair(redis_endpoint_pair, clock):
    return tuple(store_redis.connect(endpoint, clock) for endpoint in redis_endpoint_pair)


DEFECTS = {
    "string": ("SET reference:string x", "SET reference:string y"),
    "missing": ("SET k x", "DEL k"),
    "added": ("SET k x", "SET k2 x"),
    "renamed": ("SET k x", "RENAME k k2"),
    "type": ("SET k 1", "DEL k|RPUSH k 1"),
    "expiry set": ("SET k x", "PEXPIREAT k 4102444800000"),
    "expiry moved": ("SET k x PXAT 4102444800000", "PEXPIREAT k 4102444800001"),
    "expiry lost": ("SET k x PXAT 4102444800000", "PERSIST k"),
    "list order": ("RPUSH l a b", "DEL l|RPUSH l b a"),
    "list joined": ("RPUSH l ab c", "DEL l|RPUSH l a bc"),
    "set member": ("SADD s a b", "SREM s a|SADD s c"),
    "hash value": ("HSET h f v g w", "HSET h f w g v"),
    "zset score": ("ZADD z 1 a 2 b", "ZADD z 2.0000001 b"),
    "stream entry": ("XADD x 1-1 a b", "DEL x|XADD x 1-1 a c"),
    "stream id": ("XADD x 1-1 a b", "DEL x|XADD x 1-2 a b"),
    "stream last id": ("XADD x 1-1 a b", "XSETID x 5-5"),
    "group": ("XADD x 1-1 a b", "XGROUP CREATE x g 0"),
    "group position": ("XADD x 1-1 a b|XGROUP CREATE x g 0", "XGROUP SETID x g 1-1"),
    "consumer": ("XADD x 1-1 a b|XGROUP CREATE x g 0", "XGROUP CREATECONSUMER x g c"),
    "pending": ("XADD x 1-1 a b|XGROUP CREATE x g 0|XREADGROUP GROUP g c STREAMS x >", "XACK x g 1-1"),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_planted_defect_is_seen_in_its_database_only(redis_digest_server, clock, defect):
    store = store_redis.connect(redis_digest_server, clock)
    made, broken = DEFECTS[defect]
    with cases.client(redis_digest_server) as r, cases.client(redis_digest_server, 1) as beside:
        r.flushall()
        beside.set("other", 1), r.set("kept", 1)
        for command in made.split("|"):
            r.execute_command(*command.split())
        before = store.digest()
        assert before == store.digest()
        for command in broken.split("|"):
            r.execute_command(*command.split())
        after = store.digest()
    assert after["db0"] != before["db0"] and after["db1"] == before["db1"]


@pytest.fixture(scope="module")
def redis_digest_server():
    import real_servers

    server = real_servers.start_redis()
    yield server.endpoint
    server.close()


def test_functions_and_whole_databases_count(pair):
    store = pair[0]
    assert store.digest() == {}
    store.seed(1, 40)
    before = store.digest()
    assert set(before) == {"db0", "db1", "db2", "functions"}
    with cases.client(store.endpoint) as r:
        r.function_load("#!lua name=reference\nredis.register_function('reference_sum', function() return 1 end)", replace=True)
        assert store.digest()["functions"] != before["functions"]
        r.swapdb(0, 1)
        assert store.digest()["db0"] == before["db1"] and store.digest()["db1"] == before["db0"]


def test_how_a_server_keeps_its_values_does_not_matter(pair):
    one, other = pair
    with cases.client(other.endpoint) as r:
        for setting in ("hash-max-listpack-entries", "set-max-listpack-entries", "set-max-intset-entries", "zset-max-listpack-entries"):
            r.config_set(setting, 0) if r.config_get(setting) else None  # sets of strings are listpacks from 7.2 on only
        r.config_set("list-max-listpack-size", 2)
    one.seed(1, 300), other.seed(1, 300)
    encodings = []
    for store in pair:
        with cases.client(store.endpoint) as r:
            encodings.append({r.object("ENCODING", key) for key in r.keys("*")})
    assert encodings[0] - encodings[1] >= {b"intset"} and b"hashtable" in encodings[1]
    assert one.digest() == other.digest()


def test_a_server_in_use_can_be_digested(pair):
    """Keys that vanish between being listed and being read are left out, of every type."""
    store, stop, churned = pair[0], threading.Event(), 0
    store.seed(1, 50)
    kept = store.digest()["db1"]

    def churn() -> None:
        nonlocal churned
        with cases.client(store.endpoint) as r:
            while not stop.is_set():
                r.xadd("x", {"a": "b"}), r.set("s", 1), r.rpush("l", 1), r.hset("h", "f", 1)
                churned += r.delete("x", "s", "l", "h")

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        assert all(store.digest()["db1"] == kept for _ in range(100))
    finally:
        stop.set(), thread.join()
    assert churned > 100


def test_the_ledger_is_left_out(pair):
    store = pair[0]
    store.seed(1, 20)
    before = store.digest()
    cases.write(store, "c", range(5))
    assert store.digest() == before


def test_of_many_large_values_few_are_held_at_once(redis_digest_server, clock):
    store = store_redis.connect(redis_digest_server, clock)
    with cases.client(redis_digest_server) as r:
        r.flushall()
        for number in range(60):
            r.set(f"large:{number}", b"%d" % number + bytes(4 * MIB))
        tracemalloc.start()
        try:
            found = store.digest()["db0"]
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        r.flushall()
    assert found.items == 60
    assert 4 * MIB < peak < 100 * MIB
