"""The embedded platform on real servers: ready means functional, gone means gone, and lost servers are replaced."""

import json
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pymongo
import pytest
import redis
from real_servers import s3_client

from drplatform.model import clock as clocks
from drplatform.model import errors, ports
from drplatform.platforms import embedded
from drplatform.platforms.embedded import by_hand, lease, process
from drplatform.platforms.embedded.layout import Layout
from drplatform.platforms.embedded.platform import EmbeddedPlatform

RUNNER = Path(__file__).with_name("runner.py")


@pytest.fixture
def base(tmp_path, clock):
    """A base for platforms; whatever a failing test leaves in it is cleared."""
    made = tmp_path / "base"
    yield made
    for directory in lease.directories(made):
        if left := lease.claim(directory):
            left.remove(clock)
    embedded.sweep(made, clock)


@pytest.fixture(scope="module")
def platform(clock, tmp_path_factory):
    with create(clock, tmp_path_factory.mktemp("shared") / "base") as made:
        yield made


def create(clock, base):
    return EmbeddedPlatform.create(clock, base, {}, os.environ)


def mongodb(endpoint, **options):
    hosts = [str(address) for address in endpoint.addresses]
    return pymongo.MongoClient(hosts, replicaSet=endpoint.options["replica_set"], serverSelectionTimeoutMS=15000, **options)


def redis_of(endpoint):
    return redis.Redis(endpoint.addresses[0].host, endpoint.addresses[0].port, socket_timeout=5)


def tags_below(base):
    return {pid.number for pid, tag in process.tagged() if Path(tag).parent == base.absolute()}


def notes_of(directory):
    """What weed is known to leave in /tmp for this platform."""
    return [Path(line) for note in directory.glob("*/outside.txt") for line in note.read_text().splitlines()]


def addresses_of(directory):
    layout = Layout.load(directory)
    return [ports.Address(p.host, port) for p in (*layout.servers, layout.vault) for port in p.ports.values()]


class Traces:
    """What a living platform has outside itself, to check that it is gone later."""

    def __init__(self, directory):
        self.directory, self.sockets, self.addresses = directory, notes_of(directory), addresses_of(directory)
        assert tags_below(directory.parent), "planted: a living platform has processes"
        assert any(process.accepts(a) for a in self.addresses), "planted: and ports"
        assert any(s.exists() for s in self.sockets), "planted: and sockets in /tmp"

    def assert_gone(self):
        assert not tags_below(self.directory.parent)
        assert not [str(a) for a in self.addresses if process.accepts(a)]
        assert not [s for s in self.sockets if s.exists()]
        assert not [p for p in self.directory.parent.iterdir() if p.name != lease.BASE_LOCK]


def start_runner(base):
    return subprocess.Popen([sys.executable, str(RUNNER), str(base)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


# -- life ---------------------------------------------------------------------------------------------------------------------


def test_ready_means_functional_and_leaving_leaves_nothing(base, clock):
    with clocks.stopwatch(clock) as elapsed, create(clock, base) as platform:
        seconds = elapsed()
        print(f"start to ready: {seconds:.2f} s")
        assert isinstance(platform, ports.Platform) and isinstance(platform, ports.Provisionable)
        traces = Traces(base / platform.id)
        check_functional(platform)
    assert seconds < 25
    traces.assert_gone()


def check_functional(platform):
    primary, secondary = platform.regions
    assert [len(primary.of(k)) for k in ("mongodb", "redis", "files")] == [2, 1, 1]
    assert [len(secondary.of(k)) for k in ("mongodb", "redis", "files")] == [1, 1, 1]
    for instance in (*primary.instances, *secondary.instances):
        assert instance.running() and isinstance(instance, ports.Killable) and isinstance(instance, ports.Erasable)
        assert instance.stored_bytes() > 0
    with mongodb(platform.endpoint("mongodb"), w="majority", wtimeoutMS=5000) as client:
        client.app.items.insert_one({"_id": 1})
        assert client.primary[0] == primary.of("mongodb")[0].address.host
        assert len(client.nodes) == 3
    with redis_of(platform.endpoint("redis")) as client:
        client.set("a", 1)
        assert client.wait(1, 5000) == 1, "the replica has it"
    buckets = {b["Name"] for b in s3_client(platform.endpoint("files")).list_buckets()["Buckets"]}
    assert {"uploads", "pdfs"} <= buckets
    assert platform.endpoint("files").options["buckets"] == "uploads,pdfs"
    s3_client(platform.vault()).put_object(Bucket=platform.vault().options["bucket"], Key="a", Body=b"1")


def test_no_secret_is_in_arguments_or_readable_by_others(platform):
    secret = platform.endpoint("files").credentials.password.reveal()
    for pid, tag in process.tagged():
        if Path(tag).name == platform.id:
            assert secret.encode() not in Path(f"/proc/{pid.number}/cmdline").read_bytes()
    directory = platform._base / platform.id
    assert directory.stat().st_mode & 0o077 == 0
    holders = [f for f in directory.rglob("*") if f.is_file() and f.stat().st_size < 100_000 and secret.encode() in f.read_bytes()]
    assert {"ids.json", "platform.json"} <= {f.name for f in holders}
    assert all(f.stat().st_mode & 0o077 == 0 for f in holders)


def test_all_processes_of_a_platform_carry_its_tag(platform):
    tagged = {pid.number for pid, tag in process.tagged() if Path(tag).name == platform.id}
    assert {s._process.pid.number for s in platform.everything()} == tagged


def test_a_kill_is_seen_and_a_restart_keeps_the_disk(platform):
    (server,) = platform.regions[0].of("redis")
    with redis_of(platform.endpoint("redis")) as client:
        client.set("kept", 1)
        client.bgrewriteaof()
        client.execute_command("WAITAOF", 1, 0, 5000)
    with pytest.raises(errors.StoreError, match="runs; stop or kill it"):
        server.erase()
    server.kill()
    assert not server.running()
    server.start()
    server.start()
    assert server.running()
    with redis_of(platform.endpoint("redis")) as client:
        assert client.get("kept") == b"1"


def test_a_server_that_cannot_start_shows_its_last_words(base, clock, tmp_path):
    broken = tmp_path / "redis-server"
    broken.write_text('#!/bin/sh\n[ "$1" = --version ] && exit 0\necho cannot allocate the moon >&2\nexit 3\n')
    broken.chmod(0o700)
    with pytest.raises(errors.StoreError, match="cannot allocate the moon"):
        EmbeddedPlatform.create(clock, base, {"redis-server": str(broken)}, os.environ).start()
    assert not tags_below(base)
    assert not lease.directories(base)


def test_a_region_that_was_killed_serves_again_when_it_is_started(platform):
    primary = platform.regions[0]
    with mongodb(platform.endpoint("mongodb"), w="majority") as client:
        client.app.survivors.insert_one({"_id": 1})
        for instance in primary.instances:
            instance.kill()
        assert not any(i.running() for i in primary.instances)
        for instance in primary.instances:
            instance.start()
        assert client.app.survivors.find_one({"_id": 1})
        client.app.survivors.insert_one({"_id": 2})
    assert all(i.running() for i in primary.instances)


# -- recovery -----------------------------------------------------------------------------------------------------------------


def lose_primary_region(platform, kind):
    for instance in platform.regions[0].of(kind):
        instance.kill()
        instance.erase()
        assert instance.stored_bytes() == 0


def test_mongodb_is_replaced_under_its_public_name(platform):
    endpoint = platform.endpoint("mongodb")
    with mongodb(endpoint) as old:
        old.app.items.replace_one({"_id": 1}, {"v": "old"}, upsert=True)
        for _ in range(3):  # its terms outgrow those that a new set begins with
            step_down(old)
        old_id = old.admin.command("replSetGetConfig")["config"]["settings"]["replicaSetId"]
        lose_primary_region(platform, "mongodb")
        private = platform.provision("primary", "mongodb")
        assert not set(private.addresses) & set(endpoint.addresses)
        with mongodb(private) as fresh:
            assert "app" not in fresh.list_database_names()
            fresh.app.items.insert_one({"_id": 1, "v": "restored"})
        with pytest.raises(errors.RecoveryFailed, match="fence their region first"):
            platform.publish("primary", "mongodb")
        platform.fence("secondary", "mongodb")
        platform.publish("primary", "mongodb")
        platform.rejoin("secondary", "mongodb")
        assert old.app.items.find_one({"_id": 1}) == {"_id": 1, "v": "restored"}, "a client of the old set goes on"
        config = old.admin.command("replSetGetConfig")["config"]
        assert config["settings"]["replicaSetId"] != old_id
        assert {m["host"]: m["votes"] for m in config["members"]} == {str(a): 1 for a in endpoint.addresses}
    assert all(i.running() for region in platform.regions for i in region.of("mongodb"))


def step_down(client):
    try:
        client.admin.command("replSetStepDown", 1, force=True)
    except pymongo.errors.PyMongoError:
        pass
    client.app.items.find_one_and_update({"_id": 1}, {"$inc": {"n": 1}})


def test_redis_is_replaced_under_its_public_name(platform):
    with redis_of(platform.endpoint("redis")) as client:
        client.set("a", "old")
    platform.fence("secondary", "redis")
    lose_primary_region(platform, "redis")
    private = platform.provision("primary", "redis")
    assert private.addresses != platform.endpoint("redis").addresses
    with redis_of(private) as client:
        assert client.dbsize() == 0
        client.set("a", "restored")
    assert not process.accepts(platform.endpoint("redis").addresses[0])
    platform.publish("primary", "redis")
    platform.rejoin("secondary", "redis")
    with redis_of(platform.endpoint("redis")) as client:
        assert client.get("a") == b"restored"
        client.set("b", 1)
        assert client.wait(1, 5000) == 1


def test_files_are_replaced_under_their_public_name(platform):
    lose_primary_region(platform, "files")
    private = platform.provision("primary", "files")
    s3_client(private).put_object(Bucket="uploads", Key="a", Body=b"restored")
    platform.publish("primary", "files")
    body = s3_client(platform.endpoint("files")).get_object(Bucket="uploads", Key="a")["Body"].read()
    assert body == b"restored"
    (server,) = platform.regions[0].of("files")
    server.kill()
    assert not server.running() and not process.accepts(server.address), "the public way in is gone with it"
    server.start()
    client = s3_client(platform.endpoint("files"))
    assert client.get_object(Bucket="uploads", Key="a")["Body"].read() == b"restored"


@pytest.mark.parametrize("kind", ["mongodb", "redis", "files"])
def test_what_lives_is_not_replaced(platform, kind):
    with pytest.raises(errors.RecoveryFailed, match="still run"):
        platform.provision("primary", kind)
    with pytest.raises(errors.RecoveryFailed, match="provision"):
        platform.publish("primary", kind)


# -- interruption and orphans -------------------------------------------------------------------------------------------------


def test_the_next_run_clears_what_a_killed_run_left_and_nothing_else(base, clock):
    runner = start_runner(base)
    id = runner.stdout.readline().strip()
    traces = Traces(base / id)
    foreign = [plant(base, tag) for tag in ("", str(base / id) + "0", str(base.parent / id), str(base / id / "redis-primary-1"))]
    stray = None
    try:
        assert embedded.sweep(base, clock) == 0, "its owner lives"
        assert tags_below(base)
        os.kill(runner.pid, signal.SIGKILL)
        runner.wait()
        stray = plant(base, str(base / "ffffffff"))
        assert tags_below(base), "servers outlive a killed runner"
        assert embedded.sweep(base, clock) == 2, "the platform, and the stray whose directory is gone"
        assert stray.wait(5) == -signal.SIGKILL
        assert all(p.poll() is None for p in foreign)
    finally:
        for planted in [*foreign, *([stray] if stray else [])]:
            planted.kill()
            planted.wait()
        runner.stdout.close(), runner.stderr.close()
    traces.assert_gone()


@pytest.mark.parametrize("kind", ["mongodb", "redis", "files"])
def test_a_server_whose_starter_did_not_live_to_note_it_gives_way(platform, kind):
    """Its process has the port, and no note names it: whoever starts the server next, or fences it, ends that process first."""
    server = next(s for r in platform.regions if r.name == "secondary" for s in r.of(kind))
    server.kill()
    note = server.directory / "state.json"
    before = note.read_text()
    server.start()
    note.write_text(before)

    again = type(server)(server.place, platform.directory, server._recipe, platform._environment, server._waits)
    assert not again.alive(), "the note is of the process that was killed"
    again.fence()
    assert not process.accepts(server.address), "what is fenced serves nobody"
    again.lift()
    again.start()
    assert again.running()
    again.kill()
    server.start()


def plant(base, tag):
    """A process that looks like a server of ours, and names `tag` in its environment."""
    environment = {"PATH": os.environ["PATH"], **({process.TAG: tag} if tag else {})}
    command = ["bash", "-c", "exec -a valkey-server sleep 600", "--dir", str(base)]
    return subprocess.Popen(command, env=environment)


@pytest.mark.parametrize("servers_seen", [1, 5])
def test_interrupted_while_starting_leaves_nothing(base, clock, servers_seen):
    runner = start_runner(base)
    clocks.wait_for(clock, "servers to be started", lambda: len(tags_below(base)) >= servers_seen, within=30, every=0.01)
    runner.send_signal(signal.SIGINT)
    _, said = runner.communicate(timeout=30)
    assert runner.returncode == 130, said
    assert not tags_below(base)
    assert not [p for p in base.iterdir() if p.name != lease.BASE_LOCK]


def test_two_platforms_start_while_sweeps_run(base, clock):
    stop, swept = threading.Event(), []

    def sweeping():
        while not stop.is_set():
            swept.append(embedded.sweep(base, clock))

    with ThreadPoolExecutor(3) as pool:
        sweeper = pool.submit(sweeping)
        try:
            one, other = pool.map(lambda p: p.__enter__(), [create(clock, base), create(clock, base)])
        finally:
            stop.set()
        sweeper.result()
        assert len(swept) > 1 and not any(swept)
        assert set(addresses_of(base / one.id)).isdisjoint(addresses_of(base / other.id))
        for platform in (one, other):
            assert all(s.running() for s in platform.everything())
        one.__exit__(None, None, None)
        assert all(s.running() for s in other.everything())
        other.__exit__(None, None, None)
    assert not tags_below(base)


# -- by hand ------------------------------------------------------------------------------------------------------------------


def test_a_platform_by_hand_stays_until_it_is_taken_down(base, clock):
    up = by_hand.up(clock, base, {}, os.environ)
    traces = Traces(up.directory)
    assert embedded.sweep(base, clock) == 0, "no owner, but made by hand"
    (status,) = embedded.statuses(clock, base)
    assert (status.id, status.kind) == (up.id, "manual")
    assert len(status.servers) == 8 and all(s.running for s in status.servers)
    assert set(status.endpoints) == {"mongodb", "redis", "files", "vault"}
    with embedded.attach(clock, base, {}, os.environ) as platform:
        (server,) = platform.regions[0].of("redis")
        server.kill()
        assert [s.name for s in embedded.statuses(clock, base)[0].servers if not s.running] == [server.name]
        platform.provision("primary", "redis")
    with embedded.attach(clock, base, {}, os.environ, up.id) as again:
        assert again.regions[0].of("redis")[0].listens_at != server.address, "what was done is known to who attaches next"
    assert embedded.down(clock, base) == up.id
    traces.assert_gone()
    with pytest.raises(errors.SettingsError, match="drplatform platform up"):
        embedded.attach(clock, base, {}, os.environ)
    assert embedded.statuses(clock, base) == []


def test_a_killed_run_is_an_orphan_to_see(base, clock):
    made = lease.create(base)
    assert [(s.kind, s.servers) for s in embedded.statuses(clock, base)] == [("run", ())]
    made.release()
    assert [s.kind for s in embedded.statuses(clock, base)] == ["orphan"]
    assert json.loads((made.directory / lease.LEASE).read_text())["pid"] == os.getpid()
