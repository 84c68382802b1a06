"""The ledger's writes and the prober against servers that are killed, frozen, read-only or full."""

import os
import signal
import time

import pytest
import redis_cases as cases

from drplatform.model import clock as clocks
from drplatform.model import errors, ledger
from drplatform.model.ledger import Mark
from drplatform.model.ports import Address, Endpoint
from drplatform.stores import redis as store_redis

ANCHOR = Mark("a", 0, ledger.digest(ledger.payload("a", 0, 1)))


@pytest.fixture
def server(redis_servers):
    return redis_servers()


@pytest.fixture
def store(server, clock):
    return store_redis.connect(server.endpoint, clock)


def attempt(marker, number: int) -> tuple[type | None, float]:
    """How a write ended, and after how many seconds."""
    payload = ledger.payload("a", number, 1)
    began = time.monotonic()
    try:
        marker.write(Mark("a", number, ledger.digest(payload)), payload)
        return None, time.monotonic() - began
    except errors.StoreError as error:
        return type(error), time.monotonic() - began


def test_marks_come_back_as_written(store):
    written = cases.write(store, "a", range(2500)) + cases.write(store, "b", range(3))
    assert list(store.marks()) == written


def test_duplicates_order_and_mutations_are_visible(store):
    one, two, three = cases.write(store, "a", range(3))
    with cases.client(store.endpoint) as r:
        key = "drplatform:marks:a"
        r.rpush(key, r.lindex(key, 0))
        r.lset(key, 1, b"1:changed")
        r.lset(key, 2, b"no number")
    assert list(store.marks()) == [one, Mark("a", 1, ledger.digest(b"changed")), Mark("a", -1, ledger.digest(b"")), one]
    assert two != three


def test_refusals_are_not_written(store, server, redis_servers):
    marker = store.marker("a")
    with cases.client(server.endpoint) as r:
        for change, mend in [
            (lambda: r.config_set("maxmemory", 1), lambda: r.config_set("maxmemory", 0)),
            (lambda: r.config_set("min-replicas-to-write", 1), lambda: r.config_set("min-replicas-to-write", 0)),
            (lambda: r.replicaof("127.0.0.1", 1), lambda: r.replicaof("NO", "ONE")),
        ]:
            assert attempt(marker, 1)[0] is None
            change()
            assert attempt(marker, 2)[0] is errors.NotWritten
            mend()
        assert r.lrange("drplatform:marks:a", 0, -1) == [b"1:" + ledger.payload("a", 1, 1)] * 3
    assert attempt(marker, 3)[0] is None


def test_nobody_there_is_not_written(clock):
    marker = store_redis.connect(Endpoint("redis", (Address("127.0.0.1", 1),)), clock).marker("a")
    assert attempt(marker, 1)[0] is errors.NotWritten


def test_a_frozen_server_leaves_a_write_in_doubt_and_it_did_happen(store, server):
    """The doubt is real: the server executes what it received once it goes on."""
    marker = store.marker("a")
    assert attempt(marker, 0)[0] is None
    os.kill(server.process.pid, signal.SIGSTOP)
    try:
        first, seconds = attempt(marker, 1)
        second, seconds_too = attempt(marker, 2)
    finally:
        os.kill(server.process.pid, signal.SIGCONT)
    assert first is errors.Indeterminate and second is errors.NotWritten
    assert seconds <= 2 and seconds_too <= 2
    assert [mark.number for mark in store.marks()] == [0, 1]
    assert attempt(marker, 3)[0] is None


def test_a_killed_server_leaves_no_acknowledged_write_in_doubt(store, server, clock):
    marker = store.marker("a")
    assert attempt(marker, 0)[0] is None
    server.kill()
    assert attempt(marker, 1)[0] is errors.Indeterminate
    assert attempt(marker, 2)[0] is errors.NotWritten


def test_a_write_may_have_to_reach_a_replica(server, redis_servers, clock):
    replica = redis_servers()
    store = store_redis.connect(Endpoint("redis", server.endpoint.addresses, {"acknowledging_replicas": "1"}), clock)
    assert attempt(store.marker("a"), 0)[0] is errors.Indeterminate
    address = server.endpoint.addresses[0]
    with cases.client(replica.endpoint) as r:
        r.replicaof(address.host, address.port)
        clocks.wait_for(clock, "the replica", lambda: r.info("replication")["master_link_status"] == "up", within=10)
    assert attempt(store.marker("a"), 1)[0] is None


# -- prober -------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def prober(store):
    cases.write(store, "a", range(3))
    return store.prober(ANCHOR, ledger.payload("a", 0, 1))


def failure(prober, timeout: float = 0.3) -> float:
    began = time.monotonic()
    with pytest.raises(errors.StoreError):
        prober.attempt(9, timeout)
    return time.monotonic() - began


def test_a_probe_reads_the_anchor_and_writes_apart_from_the_marks(prober, store):
    before, digest = list(store.marks()), store.digest()
    prober.attempt(1, 1.0)
    prober.attempt(2, 1.0)
    assert list(store.marks()) == before and store.digest() == digest
    with cases.client(store.endpoint) as r:
        assert r.get("drplatform:probe") == b"2"


def test_a_server_that_lost_the_anchor_is_not_back(prober, store):
    with cases.client(store.endpoint) as r:
        r.lset("drplatform:marks:a", 0, b"0:something else")
        failure(prober)
        r.flushall()
        failure(prober)


def test_a_server_that_takes_no_writes_is_not_back(prober, server):
    with cases.client(server.endpoint) as r:
        r.replicaof("127.0.0.1", 1)
        failure(prober)
        r.replicaof("NO", "ONE")
    prober.attempt(2, 1.0)


def test_a_frozen_or_killed_server_is_noticed_in_time_and_its_return_too(prober, server, clock):
    os.kill(server.process.pid, signal.SIGSTOP)
    assert failure(prober) < 0.6 and failure(prober) < 0.6
    os.kill(server.process.pid, signal.SIGCONT)
    prober.attempt(3, 1.0)
    server.kill()
    assert failure(prober) < 0.6
    server.start()
    clocks.wait_for(clock, "the prober to succeed", lambda: prober.attempt(4, 1.0) is None, within=10, ignoring=(errors.StoreError,))
