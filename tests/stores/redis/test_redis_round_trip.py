"""Snapshot and restore between real servers, compared key by key by another client than the store's own."""

import dataclasses
import os
import random
import re
import shutil
import signal
import socket
import threading

import pytest
import real_servers
import redis
import redis_cases as cases

from drplatform.model import clock as clocks
from drplatform.model import errors
from drplatform.model.backup import BackupKind
from drplatform.model.ports import BLOCK_BYTES, Address, Credentials, DataStore, Endpoint, LogCapture
from drplatform.model.secret import Secret
from drplatform.stores import redis as store_redis
from drplatform.stores.redis import rdb


@pytest.fixture
def pair(redis_endpoint_pair, clock):
    return tuple(store_redis.connect(endpoint, clock) for endpoint in redis_endpoint_pair)


def odd_content(endpoint: Endpoint) -> None:
    """What seeds do not have: odd keys, empty and huge values, the last database, encodings left over from larger days."""
    with cases.client(endpoint) as r:
        r.set(b"\x00\xff binary \r\n key", b"")
        r.set("", "the empty key")
        r.set("large", os.urandom(1 << 16) * 160)
        r.sadd("shrunk", *range(1000))
        r.srem("shrunk", *range(3, 1000))
        r.rpush("large elements", *(os.urandom(9000) for _ in range(20)))
        r.zadd("equal scores", {f"m{i}": 1.5 for i in range(200)})
        r.xadd("emptied", {"a": "b"}, id="5-5")
        r.xdel("emptied", "5-5")
        r.xgroup_create("emptied", "g", "0")
    with cases.client(endpoint, 15) as r:
        r.set("last database", "yes", px=10**10)


@pytest.mark.parametrize("diskless, transfer", [("yes", "disk"), ("no", "disk"), ("yes", "diskless"), ("no", "diskless")])
def test_everything_comes_back_equal(redis_endpoint_pair, clock, diskless, transfer):
    source_endpoint, target_endpoint = redis_endpoint_pair
    with cases.client(source_endpoint) as r:
        r.config_set("repl-diskless-sync", diskless)
    source = store_redis.connect(Endpoint("redis", source_endpoint.addresses, {"transfer": transfer}), clock)
    target = store_redis.connect(target_endpoint, clock)
    source.seed(7, 400)
    odd_content(source_endpoint)
    before = cases.everything(source_endpoint)
    assert {kind for kind, _, _ in (v for k, v in before.items() if k != "functions")} == set(cases._READERS)

    blocks, end = cases.snapshot(source)
    assert max(map(len, blocks)) <= BLOCK_BYTES and len(blocks) > 1
    arrived = cases.restored(target, blocks)

    assert cases.everything(target_endpoint) == before
    assert arrived.reached.timeline == end.timeline and arrived.reached.sequence == end.sequence
    assert arrived.digests == source.digest() == target.digest()
    assert arrived.refused == ()
    with cases.client(target_endpoint) as r:
        assert r.fcall("reference_sum", 0, 1, 2) == 3
        assert r.info("replication")["role"] == "master"
        assert r.config_get("masterauth", "masteruser", "repl-timeout") == {"masterauth": "", "masteruser": "", "repl-timeout": "60"}


def test_the_store_is_what_the_ports_ask_for(pair):
    assert isinstance(pair[0], DataStore) and isinstance(pair[0], LogCapture)


def test_identity_version_and_occupants(pair):
    one, other = pair
    assert one.identity() != other.identity() and len(one.identity()) == 40
    assert re.fullmatch(r"(valkey|redis) \d+\.\d+\.\d+", one.version())
    assert one.occupants() == ()
    one.seed(1, 20)
    assert one.occupants()[0].startswith("db0: ") and "function library reference" in one.occupants()


def test_a_seed_is_reproducible(pair):
    one, other = pair
    one.seed(3, 100), other.seed(3, 100)
    assert cases.everything(one.endpoint) == cases.everything(other.endpoint)
    with cases.client(other.endpoint) as r:
        r.flushall()
    other.seed(4, 100)
    assert one.digest() != other.digest()


@pytest.mark.parametrize("settings", [{"appendonly": "yes", "save": ""}, {"appendonly": "no", "save": "3600 1"}])
def test_what_was_restored_survives_a_power_cut(redis_servers, clock, settings):
    """A server with appendonly that was only given a snapshot file comes up empty: the restore must not end before both ways are safe."""
    one, other = redis_servers(), redis_servers()
    for name, value in settings.items():
        other.command += [f"--{name}", *(value.split() or [""])]
    other.kill()
    for left in other.directory.rglob("*"):
        left.unlink() if left.is_file() else None
    _start(other)
    source, target = store_redis.connect(one.endpoint, clock), store_redis.connect(other.endpoint, clock)
    source.seed(5, 100)
    blocks, end = cases.snapshot(source)
    with cases.Capture(source, end, clock) as capture:
        marks = cases.write(source, "c", range(50))
        capture.upto_now()
    cases.restored(target, blocks, capture.log)
    held = cases.everything(other.endpoint)

    os.kill(other.process.pid, signal.SIGKILL)
    other.process.wait()
    _start(other)

    assert cases.everything(other.endpoint) == held == cases.everything(one.endpoint)
    assert list(target.marks()) == marks


def _start(server):
    server.start()
    with cases.client(server.endpoint) as r:
        server.wait(r.ping, redis.RedisError)


def test_a_server_without_disk_is_restored_too_and_keeps_no_half_of_it(redis_servers, clock):
    source, server = store_redis.connect(redis_servers().endpoint, clock), redis_servers()
    target = store_redis.connect(server.endpoint, clock)
    with cases.client(target.endpoint) as r:
        r.config_set("appendonly", "no"), r.config_set("save", "")
    source.seed(5, 50)
    assert cases.restored(target, cases.snapshot(source)[0]).digests == source.digest()
    assert not list(server.directory.glob("*.rdb"))


def test_credentials_are_used_and_never_shown(redis_endpoint_pair, clock):
    source_endpoint, _ = redis_endpoint_pair
    for endpoint in redis_endpoint_pair:
        with cases.client(endpoint) as r:
            r.execute_command("ACL", "SETUSER", "keeper", "on", ">s3cret", "~*", "&*", "+@all")
            r.execute_command("ACL", "SETUSER", "default", "off")
    known = [Endpoint("redis", e.addresses, {}, Credentials("keeper", Secret("s3cret"))) for e in redis_endpoint_pair]
    source, target = (store_redis.connect(endpoint, clock) for endpoint in known)
    source.seed(1, 30)
    assert cases.restored(target, cases.snapshot(source)[0]).digests == source.digest()
    wrong = store_redis.connect(Endpoint("redis", source_endpoint.addresses, {}, Credentials("keeper", Secret("wr0ng"))), clock)
    with pytest.raises(errors.StoreError, match="does not let us in") as refused:
        wrong.identity()
    assert "wr0ng" not in str(refused.value)


def test_an_account_that_may_only_replicate_is_enough_for_a_snapshot(redis_endpoint, clock):
    with cases.client(redis_endpoint) as r:
        r.set("a", 1)
        r.execute_command("ACL", "SETUSER", "backup", "on", ">b", "resetkeys", "-@all", "+psync", "+replconf")
    store = store_redis.connect(Endpoint("redis", redis_endpoint.addresses, {}, Credentials("backup", Secret("b"))), clock)
    assert cases.snapshot(store)[0] and store.halfway() == ""
    with cases.client(redis_endpoint) as r:
        r.execute_command("ACL", "SETUSER", "backup", "-psync")
    with pytest.raises(errors.StoreError, match="NOPERM"):
        cases.snapshot(store)


# -- targets that are refused -------------------------------------------------------------------------------------------------


def test_wrong_targets_are_refused_before_the_first_byte(redis_servers, clock):
    source, target, other = (store_redis.connect(redis_servers().endpoint, clock) for _ in range(3))
    source.seed(1, 30)
    blocks, _ = cases.snapshot(source)

    def refused(snapshot: list[bytes], words: str) -> None:
        held = cases.everything(target.endpoint)
        with pytest.raises(errors.TargetRefused, match=words):
            cases.restored(target, snapshot)
        assert cases.everything(target.endpoint) == held

    with cases.client(target.endpoint) as r:
        refused([b"REDIS0099" + blocks[0][9:]], "does not read")
        refused([b"VALKEY090" + blocks[0][9:]], "does not read")
        r.set("occupied", 1)
        refused(blocks, "db0: 1 keys")
        r.flushall()
        r.function_load("#!lua name=lib\nredis.register_function('f', function() return 1 end)")
        refused(blocks, "function library lib")
        r.function_flush()
        assert "cmdstat_replicaof" not in r.info("commandstats")
        address = other.endpoint.addresses[0]
        r.replicaof(address.host, address.port)
        refused(blocks, "replica of another")
        r.replicaof("NO", "ONE")
    assert cases.restored(target, blocks).digests == source.digest()


def test_targets_in_use_or_without_power_are_refused_before_the_first_byte(redis_servers, clock):
    source, target = (store_redis.connect(redis_servers().endpoint, clock) for _ in range(2))
    source.seed(1, 30)
    blocks, _ = cases.snapshot(source)

    def refused(words: str, store=target) -> None:
        with cases.client(target.endpoint) as r:
            settings = r.config_get("*")
            with pytest.raises(errors.TargetRefused, match=words):
                cases.restored(store, blocks)
            assert r.config_get("*") == settings and r.dbsize() == 0
            assert r.info("commandstats").get("cmdstat_replicaof", {"calls": 0})["calls"] == 0

    with cases.client(target.endpoint) as r:
        r.config_set("min-replicas-to-write", 2)
        refused("takes no writes")
        r.config_set("min-replicas-to-write", 0)
        r.execute_command("ACL", "SETUSER", "weak", "on", ">secret-7c1", "~*", "+@all", "-replicaof")
        weak = dataclasses.replace(target.endpoint, credentials=Credentials("weak", Secret("secret-7c1")))
        refused("may not restore", store_redis.connect(weak, clock))
        r.execute_command("ACL", "DELUSER", "weak")
    stop = threading.Event()
    user = threading.Thread(target=_served_at_once, args=(target.endpoint, stop))
    user.start()
    try:
        refused("in use")
    finally:
        stop.set(), user.join(10)
    assert cases.restored(target, blocks).digests == source.digest()


def _served_at_once(endpoint: Endpoint, stop: threading.Event) -> None:
    """Writes that leave nothing behind: all in one transaction."""
    with cases.client(endpoint) as r:
        while not stop.is_set():
            with r.pipeline() as pipe:
                pipe.rpush("queue", 1).lpop("queue").execute()


def test_a_sentinel_is_no_target(redis_servers, clock):
    source = store_redis.connect(redis_servers().endpoint, clock)
    blocks, _ = cases.snapshot(source)
    server = redis_servers()
    server.kill()
    configuration = server.directory / "sentinel.conf"
    configuration.write_text(f"port {server.endpoint.addresses[0].port}\nbind 127.0.0.1\n")
    server.command[1:] = [str(configuration), "--sentinel"]
    _start(server)
    with pytest.raises(errors.TargetRefused, match="sentinel"):
        cases.restored(store_redis.connect(server.endpoint, clock), blocks)


def test_a_node_of_a_cluster_is_no_target(redis_servers, clock):
    source, server = store_redis.connect(redis_servers().endpoint, clock), redis_servers()
    blocks, _ = cases.snapshot(source)
    server.kill()
    shutil.rmtree(server.directory / "appendonlydir", ignore_errors=True)
    server.command += ["--cluster-enabled", "yes", "--cluster-port", str(*real_servers.free_ports(1))]
    _start(server)
    with pytest.raises(errors.TargetRefused, match="Redis Cluster"):
        cases.restored(store_redis.connect(server.endpoint, clock), blocks)
    with cases.client(server.endpoint) as r:
        assert r.dbsize() == 0 and "cmdstat_replicaof" not in r.info("commandstats")


def test_a_log_alone_and_a_foreign_part_restore_nothing(pair):
    with pair[1].restore() as restore, pytest.raises(errors.RecoveryFailed):
        restore.replay(iter([]), None)
    with pair[1].restore() as restore, pytest.raises(errors.IntegrityError):
        restore.load(BackupKind.SNAPSHOT, "data/app.orders/0", iter([b""]))


# -- damage -------------------------------------------------------------------------------------------------------------------


def test_damage_is_refused_and_leaves_the_target_empty(pair):
    source, target = pair
    source.seed(2, 60)
    whole = b"".join(cases.snapshot(source)[0])
    for wrong in (whole[:-1] + bytes([whole[-1] ^ 1]), whole[:-1], whole[: len(whole) // 2]):
        with pytest.raises(errors.IntegrityError):
            cases.restored(target, cases.cut(wrong, 5000))
        assert target.occupants() == ()
        with cases.client(target.endpoint) as r:
            assert r.info("replication")["role"] == "master"
    assert cases.restored(target, [whole]).digests == source.digest()


def test_a_bit_that_is_wrong_anywhere_is_refused(redis_servers, clock):
    """A server that loads as it receives gives up, itself, at what it cannot parse; it starts empty then."""
    one, other = redis_servers(), redis_servers()
    source, target = (store_redis.connect(server.endpoint, clock) for server in (one, other))
    source.seed(2, 60)
    damaged = bytearray(b"".join(cases.snapshot(source)[0]))
    seed = random.SystemRandom().randrange(10**9)
    print("seed", seed)
    generator = random.Random(seed)
    damaged[generator.randrange(len(damaged) // 2, len(damaged))] ^= 1 << generator.randrange(8)
    with pytest.raises((errors.IntegrityError, errors.RecoveryFailed)):
        cases.restored(target, cases.cut(bytes(damaged), 5000))

    def empty() -> bool:
        if other.process.poll() is not None:
            _start(other)
        return target.occupants() == ()

    clocks.wait_for(clock, "the target to be empty", empty, within=60, ignoring=(errors.StoreError,))


class Relay:
    """Passes bytes between a client and a server, and cuts both off once the server has sent `limit` bytes."""

    def __init__(self, to: Address, limit: int) -> None:
        self._to, self._limit = to, limit
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint("redis", (Address(*self._listener.getsockname()),), {"transfer": "diskless"})

    def _serve(self) -> None:
        near, _ = self._listener.accept()
        with near, socket.create_connection((self._to.host, self._to.port)) as far:
            back = threading.Thread(target=self._back, args=(far, near))
            back.start()
            while data := _received(near):
                far.sendall(data)
            back.join()

    def _back(self, far: socket.socket, near: socket.socket) -> None:
        passed = 0
        while passed < self._limit and (data := _received(far)):
            data = data[: self._limit - passed]
            passed += len(data)
            near.sendall(data)
        near.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._listener.close()
        self._thread.join(10)


def _received(connection: socket.socket) -> bytes:
    try:
        return connection.recv(65536)
    except OSError:
        return b""


def test_a_transfer_that_breaks_off_is_no_snapshot(redis_endpoint, clock):
    store = store_redis.connect(redis_endpoint, clock)
    store.seed(2, 300)
    size = len(b"".join(cases.snapshot(store)[0]))
    for limit in (size // 2, size - 20):
        relay = Relay(redis_endpoint.addresses[0], limit)
        try:
            with store_redis.connect(relay.endpoint, clock).dump() as dump, pytest.raises(errors.IntegrityError, match="broke off"):
                for _ in next(part for part in dump.parts() if part.name == "rdb").blocks():
                    pass
        finally:
            relay.close()


def test_a_dump_not_read_to_its_end_is_not_finished(redis_endpoint, clock):
    store = store_redis.connect(redis_endpoint, clock)
    store.seed(2, 30)
    with store.dump() as dump, pytest.raises(errors.IntegrityError):
        next(dump.parts())
        dump.finish()


def test_the_snapshot_falls_back_to_the_network_when_the_disk_is_of_no_use(redis_servers, clock):
    server = redis_servers()
    store = store_redis.connect(server.endpoint, clock)
    store.seed(2, 30)
    shutil.rmtree(server.directory)  # under its feet: it can make no file any more
    blocks, _ = cases.snapshot(store)
    assert len(list(rdb.checked(iter(blocks)))) == 1
