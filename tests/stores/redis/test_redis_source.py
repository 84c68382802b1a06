"""Restores that go wrong half-way, and strangers at the source."""

import os
import signal
import socket
import time

import pytest
import redis_cases as cases

from drplatform.model import errors
from drplatform.model.backup import BackupKind
from drplatform.stores import redis as store_redis
from drplatform.stores.redis import source as sources
from drplatform.stores.redis import wire


@pytest.fixture
def prepared(redis_servers, clock):
    """A target's server and store, and a snapshot to restore into it."""
    source = store_redis.connect(redis_servers().endpoint, clock)
    source.seed(1, 200)
    server = redis_servers()
    return server, store_redis.connect(server.endpoint, clock), cases.snapshot(source)[0]


def test_a_target_that_dies_while_it_is_fed_is_a_failure_at_once(prepared):
    server, target, blocks = prepared
    data = b"".join(blocks)

    def feed():
        yield data[:5000]
        yield data[5000:20000]
        server.kill()
        for at in range(20000, len(data), 1000):
            yield data[at : at + 1000]

    began = time.monotonic()
    with pytest.raises((errors.RecoveryFailed, errors.StoreError)), target.restore() as restore:
        restore.load(BackupKind.SNAPSHOT, "rdb", feed())
        restore.finish()
    assert time.monotonic() - began < 5


def test_a_target_that_dies_after_loading_is_a_failure(prepared):
    server, target, blocks = prepared
    with pytest.raises((errors.RecoveryFailed, errors.StoreError)), target.restore() as restore:
        restore.load(BackupKind.SNAPSHOT, "rdb", iter(blocks))
        server.kill()
        restore.finish()


def test_blocks_that_never_come_leave_the_target_empty_and_alone(prepared):
    _, target, blocks = prepared

    def feed():
        yield blocks[0][:9000]
        raise errors.IntegrityError("a chunk was tampered with")

    with pytest.raises(errors.IntegrityError, match="tampered"), target.restore() as restore:
        restore.load(BackupKind.SNAPSHOT, "rdb", feed())
    assert target.occupants() == ()
    with cases.client(target.endpoint) as r:
        assert r.info("replication")["role"] == "master"
        assert r.config_get("masterauth", "repl-timeout") == {"masterauth": "", "repl-timeout": "60"}


def test_a_target_frozen_for_a_while_is_waited_for(prepared, clock):
    server, target, blocks = prepared

    def feed():
        yield blocks[0][:9000]
        os.kill(server.process.pid, signal.SIGSTOP)
        yield blocks[0][9000:]
        os.kill(server.process.pid, signal.SIGCONT)

    with target.restore() as restore:
        restore.load(BackupKind.SNAPSHOT, "rdb", feed())
        assert restore.finish().digests == target.digest()


@pytest.mark.parametrize(
    "greeting", ["PSYNC ? -1", "AUTH guess|PSYNC ? -1", "AUTH drplatform guess|PING|PSYNC ? -1", "SYNC", "GET / HTTP/1.1"]
)
def test_a_stranger_gets_nothing_and_the_target_is_still_served(clock, greeting):
    source = sources.Source("127.0.0.1", clock)
    try:
        stranger = socket.create_connection((source.address.host, source.address.port))
        stranger.sendall(b"".join(wire.encode(words.split()) for words in greeting.split("|")))
        stranger.shutdown(socket.SHUT_WR)
        target = socket.create_connection((source.address.host, source.address.port))
        target.sendall(wire.encode(["AUTH", "drplatform", source.password]) + wire.encode(["PSYNC", "?", "-1"]))
        source.admit("a" * 40, 7)
        heard = b""
        while data := stranger.recv(1000):
            heard += data
        assert b"FULLRESYNC" not in heard
        assert target.recv(1000).startswith(b"+OK\r\n+FULLRESYNC " + b"a" * 40 + b" 7\r\n$EOF:")
    finally:
        source.close(), stranger.close(), target.close()
