"""Continuous capture, and restores to exact offsets of what was captured."""

import itertools
import os
import random
import re
import signal
import socket
import threading
import time

import pytest
import redis_cases as cases

from drplatform.model import clock as clocks
from drplatform.model import errors
from drplatform.model.position import Position
from drplatform.stores import redis as store_redis
from drplatform.stores.redis import stream


@pytest.fixture
def pair(redis_endpoint_pair, clock):
    return tuple(store_redis.connect(endpoint, clock) for endpoint in redis_endpoint_pair)


def run(endpoint, generator, count: int) -> None:
    """The random workload; commands that make no sense where they come are refused by the server, as in life."""
    for database, commands in cases.workload(generator, count):
        with cases.client(endpoint, database) as r, r.pipeline(transaction=len(commands) > 1) as pipe:
            for command in commands:
                pipe.execute_command(*command)
            pipe.execute(raise_on_error=False)


@pytest.mark.parametrize("moments", [6, pytest.param(100, marks=pytest.mark.soak)])
def test_any_moment_equals_a_server_that_was_told_the_same(redis_servers, clock, moments):
    """The model: an empty server to which a plain client sends the first commands of the captured stream."""
    seed = random.SystemRandom().randrange(10**9)
    print("seed", seed)
    generator = random.Random(seed)
    source, target, model = (store_redis.connect(redis_servers().endpoint, clock) for _ in range(3))
    blocks, end = cases.snapshot(source)
    with cases.Capture(source, end, clock) as capture:
        run(source.endpoint, generator, 60 * moments if moments < 20 else 2000)
        capture.upto_now()
    assert cases.contiguous(capture.batches) and capture.error is None

    frames = list(stream.frames(iter([capture.log])))
    data = b"".join(frame.data for frame in frames)
    units = [unit.end for unit in stream.units(data, stream.UNKNOWN)]
    assert units[-1] == len(data) == capture.last.sequence[0] - end.sequence[0]
    told = 0
    with socket.create_connection((model.endpoint.addresses[0].host, model.endpoint.addresses[0].port)) as plain:
        for until in sorted({*generator.sample(units, moments - 1), units[-1]}):
            _tell(plain, data[told:until], model.endpoint)
            told = until
            _empty(target.endpoint)
            arrived = cases.restored(target, blocks, capture.log, Position(end.timeline, (end.sequence[0] + until,), 0.0))
            assert arrived.reached.sequence == (end.sequence[0] + until,)
            assert arrived.refused == ()
            assert cases.everything(target.endpoint) == cases.everything(model.endpoint)
            assert target.digest() == model.digest()
    assert cases.everything(target.endpoint) == cases.everything(source.endpoint)


def _tell(plain: socket.socket, data: bytes, endpoint) -> None:
    plain.sendall(data + b"*2\r\n$4\r\nECHO\r\n$8\r\nall-done\r\n")
    answers = b""
    while not answers.endswith(b"$8\r\nall-done\r\n"):
        answers += plain.recv(1 << 20)
    assert not re.search(rb"\r\n-[A-Z]{3,} ", answers)  # an error; a value may begin with a dash


def _empty(endpoint) -> None:
    with cases.client(endpoint) as r:
        r.flushall(), cases.has_functions(r) and r.function_flush()


def test_batches_come_from_a_quiet_source_too_and_stop_ends_them(redis_endpoint, clock):
    store = store_redis.connect(redis_endpoint, clock)
    _, end = cases.snapshot(store)
    stop, seen = threading.Event(), []
    for batch in store.follow(end, stop):
        seen.append(time.monotonic())
        assert batch.block == b"" and batch.last == batch.previous == end
        if len(seen) == 4:
            stop.set()
    assert len(seen) == 4
    assert max(two - one for one, two in itertools.pairwise(seen)) < 10, "a quiet source is told of all the same"


def test_a_cut_connection_loses_nothing(redis_endpoint, clock):
    store = store_redis.connect(redis_endpoint, clock)
    _, end = cases.snapshot(store)
    with cases.Capture(store, end, clock) as capture, cases.client(redis_endpoint) as r:
        for number in range(5):
            cases.write(store, "c", range(number * 20, number * 20 + 20))
            capture.upto_now()
            assert r.client_kill_filter(_type="replica") == 1
            cases.write(store, "d", range(number * 20, number * 20 + 20))
        capture.upto_now()
    assert cases.contiguous(capture.batches)
    assert sum(o.verb == "RPUSH" for o in store.operations(capture.log)) == 200


def test_capture_outlives_a_server_that_is_away_for_a_while(redis_servers, clock):
    server = redis_servers()
    store = store_redis.connect(server.endpoint, clock)
    _, end = cases.snapshot(store)
    with cases.Capture(store, end, clock) as capture:
        os.kill(server.process.pid, signal.SIGSTOP)
        count = len(capture.batches)
        clocks.wait_for(clock, "batches while frozen", lambda: len(capture.batches) > count + 2, within=5)
        os.kill(server.process.pid, signal.SIGCONT)
        cases.write(store, "c", range(3))
        capture.upto_now()
        server.kill()
        count = len(capture.batches)
        clocks.wait_for(clock, "batches while away", lambda: len(capture.batches) > count + 2, within=5)
        assert capture.error is None
        server.start()
        assert isinstance(capture.failed(), errors.LogGap)  # a new process is a new history


@pytest.mark.parametrize("attempt", range(3))
def test_what_was_acknowledged_before_a_power_cut_is_in_the_capture_but_for_what_was_in_flight(redis_servers, clock, attempt):
    server = redis_servers()
    store = store_redis.connect(server.endpoint, clock)
    _, end = cases.snapshot(store)
    with cases.Capture(store, end, clock) as capture:
        capture.upto_now()
        cases.write(store, "c", range(1000))
        server.kill()
    assert 999 <= sum(o.verb == "RPUSH" for o in store.operations(capture.log)) <= 1000


def test_stopping_hands_on_what_has_arrived(redis_endpoint, clock):
    store = store_redis.connect(redis_endpoint, clock)
    _, end = cases.snapshot(store)
    stop, batches = threading.Event(), []
    for batch in store.follow(end, stop):
        batches.append(batch)
        if len(batches) == 2:
            cases.write(store, "c", range(100))
            stop.set()
    assert sum(batch.entries for batch in batches) == 100 and cases.contiguous(batches)


def test_signs_of_life_are_no_entries(redis_endpoint, clock):
    store = store_redis.connect(redis_endpoint, clock)
    with cases.client(redis_endpoint) as r:
        r.config_set("repl-ping-replica-period", 1)
    _, end = cases.snapshot(store)
    with cases.Capture(store, end, clock) as capture:
        clocks.wait_for(clock, "a ping", lambda: capture.last.sequence > end.sequence, within=10)
    assert sum(batch.entries for batch in capture.batches) == 0 and cases.contiguous(capture.batches)


def test_an_overrun_backlog_is_a_gap_and_no_snapshot_is_begun_for_nobody(redis_endpoint, clock):
    store = store_redis.connect(redis_endpoint, clock)
    with cases.client(redis_endpoint) as r:
        r.config_set("repl-backlog-size", 16384)
        _, end = cases.snapshot(store)
        syncs = r.info("stats")["sync_full"]
        for number in range(100):
            r.set(f"k{number}", os.urandom(4000))
        with cases.Capture(store, end, clock) as capture:
            error = capture.failed()
        assert isinstance(error, errors.LogGap) and "repl-backlog-size" in str(error)
        assert r.info("stats")["sync_full"] == syncs


def test_a_promoted_server_is_another_history(pair, clock):
    source, target = pair
    blocks, end = cases.snapshot(source)
    cases.restored(target, blocks)
    with cases.Capture(target, end, clock) as capture:
        assert isinstance(capture.failed(), errors.LogGap)


def test_those_who_may_not_replicate_are_told_so(redis_endpoint, clock):
    store = store_redis.connect(redis_endpoint, clock)
    _, end = cases.snapshot(store)
    with cases.client(redis_endpoint) as r:
        r.execute_command("ACL", "SETUSER", "default", "-psync")
        with cases.Capture(store, end, clock) as capture:
            assert "NOPERM" in str(capture.failed())


def test_capture_satisfies_nobodys_wait_and_no_sentinel(redis_endpoint, clock):
    store = store_redis.connect(redis_endpoint, clock)
    _, end = cases.snapshot(store)
    with cases.Capture(store, end, clock) as capture, cases.client(redis_endpoint) as r:
        cases.write(store, "c", range(3))
        capture.upto_now()
        r.set("mine", 1)
        assert r.wait(1, 1200) == 0
        attached = r.info("replication")["slave0"]
        assert attached["port"] == 0 and attached["state"] == "online"


def test_expired_and_evicted_keys_are_deleted_at_their_place_in_the_stream(pair, clock):
    source, target = pair
    blocks, end = cases.snapshot(source)
    with cases.Capture(source, end, clock) as capture, cases.client(source.endpoint) as r:
        r.set("short", 1, px=20)
        clocks.wait_for(clock, "the key to expire", lambda: r.get("short") is None, within=5)
        r.set("after", 1)
        capture.upto_now()
    assert [(o.verb, o.subject) for o in source.operations(capture.log) if "short" in o.subject][-1][0] in ("DEL", "UNLINK")
    cases.restored(target, blocks, capture.log)
    with cases.client(target.endpoint) as r:
        assert r.keys("*") == [b"after"]


def test_operations_the_target_cannot_execute_are_reported(pair, clock):
    """The planted defect: a stream that does not fit the snapshot is applied to another content."""
    source, target = pair
    with cases.client(source.endpoint) as r:
        r.set("k", 1)
        blocks, end = cases.snapshot(source)
        with cases.Capture(source, end, clock) as capture:
            r.delete("k"), r.rpush("k", "a")
            capture.upto_now()
    frame = next(stream.frames(iter([capture.log])))
    wrong = stream.Frame(frame.timeline, frame.begin, frame.at, 0, frame.data.replace(b"DEL", b"GET").replace(b"UNLINK", b"STRLEN"))
    assert "answered with an error" in cases.restored(target, blocks, wrong.pack()).refused[0]


def test_an_unreachable_server_is_named(clock, redis_servers):
    server = redis_servers()
    server.kill()
    with pytest.raises(errors.StoreError, match=str(server.endpoint.addresses[0])):
        store_redis.connect(server.endpoint, clock).position()
