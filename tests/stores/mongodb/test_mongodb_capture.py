"""Capture of a replica set through what happens to it: elections, kills, restarts, a member that is cut off, an oplog that was overrun."""

import contextlib
import dataclasses
import itertools
import random
import shutil
import signal
import threading

import mongodb_cases as cases
import pymongo
import pytest
import real_servers

from drplatform.engine import backups
from drplatform.engine.capturing import Capturing
from drplatform.model import clock as clocks
from drplatform.model import errors
from drplatform.model.backup import BackupKind, chain_to
from drplatform.model.ports import Address, Endpoint
from drplatform.repositories import directory
from drplatform.stores import mongodb
from drplatform.stores.mongodb import follow, members, oplog
from drplatform.stores.mongodb import wire as wires

SETTINGS = {"electionTimeoutMillis": 1000, "heartbeatIntervalMillis": 200}
SECONDS = 60


class Group:
    """A replica set of three."""

    def __init__(self, servers):
        self.servers = servers
        self.endpoint = Endpoint("mongodb", tuple(s.endpoint.addresses[0] for s in servers), {"replica_set": "test"})
        hosts = [str(a) for a in self.endpoint.addresses]
        self.client = pymongo.MongoClient(hosts, replicaSet="test", serverSelectionTimeoutMS=1000 * SECONDS, w="majority", retryWrites=True)

    def primary(self):
        """The server that is primary, as soon as there is one that the others know."""
        hello = lambda: self.client.admin.command("hello")["me"]  # noqa: E731
        name = clocks.wait_for(real_servers.CLOCK, "a primary", hello, within=SECONDS, ignoring=(pymongo.errors.PyMongoError,))
        return next(s for s in self.servers if str(s.endpoint.addresses[0]) == name)

    def write(self, count=20):
        """With the majority's word for it; repeated as a client does it through an election."""
        for _ in range(count):
            identity = random.getrandbits(60)
            clocks.wait_for(
                real_servers.CLOCK,
                "a write to be taken",
                lambda identity=identity: self.client.app.things.replace_one({"_id": identity}, {"x": 1}, upsert=True).acknowledged,
                within=SECONDS,
                ignoring=(pymongo.errors.PyMongoError,),
            )

    def make_anew(self, server):
        """Without its data, which it copies from the others again; its log begins then."""
        server.kill()
        shutil.rmtree(server.directory / "data")
        (server.directory / "data").mkdir()
        server.start()
        with real_servers.mongodb_client(server.endpoint) as client:
            synced = lambda: client.admin.command("hello")["secondary"]  # noqa: E731
            clocks.wait_for(real_servers.CLOCK, "a first copy", synced, within=SECONDS, ignoring=(pymongo.errors.PyMongoError,))


def join(client, member) -> bool:
    """Asked again when it is refused: when the member before has caught up, the primary changes the configuration by itself."""
    config = client.admin.command("replSetGetConfig")["config"]
    config["version"] += 1
    config["settings"] |= SETTINGS
    config["members"].append(member)
    return bool(client.admin.command("replSetReconfig", config)["ok"])


@pytest.fixture
def group():
    with contextlib.ExitStack() as stack:
        first = real_servers.start_mongodb()
        stack.callback(first.close)
        others = []
        for port in real_servers.free_ports(2):
            place, command = real_servers._directory(), list(first.command)
            (place / "data").mkdir()
            command[command.index("--dbpath") + 1], command[command.index("--port") + 1] = str(place / "data"), str(port)
            others.append(real_servers.Server(place, command, Endpoint("mongodb", (Address("127.0.0.1", port),), {"replica_set": "test"})))
            stack.callback(others[-1].close)
            others[-1].start()
        with real_servers.mongodb_client(first.endpoint) as client:
            for number, other in enumerate(others, 1):
                with real_servers.mongodb_client(other.endpoint) as direct:
                    other.wait(lambda direct=direct: direct.admin.command("ping"), pymongo.errors.PyMongoError)
                    member = {"_id": number, "host": str(other.endpoint.addresses[0])}
                    other.wait(lambda client=client, member=member: join(client, member), pymongo.errors.OperationFailure)
                    other.wait(lambda direct=direct: direct.admin.command("hello").get("secondary"), pymongo.errors.PyMongoError)
        made = Group([first, *others])
        stack.callback(made.client.close)
        yield made


def test_a_capture_outlives_elections_kills_restarts_and_a_member_that_is_cut_off(group, mongodb_endpoint, clock):
    store, target = mongodb.connect(group.endpoint, clock), mongodb.connect(mongodb_endpoint, clock)
    group.write()
    parts, end = cases.take(store)
    with cases.captured(store, end.end) as batches:
        group.write()
        killed = group.primary()
        killed.kill()
        group.write()
        killed.start()
        group.primary()
        with contextlib.suppress(pymongo.errors.PyMongoError):
            group.client.admin.command("replSetStepDown", 5, secondaryCatchUpPeriodSecs=3)
        group.write()
        cut_off = group.primary()
        cut_off.process.send_signal(signal.SIGSTOP)  # it answers no more, and its connections stay
        try:
            group.write()
        finally:
            cut_off.process.send_signal(signal.SIGCONT)
        group.write()
        wanted = cases.everything(group.primary().endpoint)
        position = store.position()
    assert len(wanted["app.things"][0]) == 120
    reached = cases.restore(target, parts, [batch.block for batch in batches], position)
    assert reached.reached == position
    assert cases.everything(target.endpoint)["app.things"] == wanted["app.things"]


def test_what_a_primary_took_that_the_others_never_heard_of_is_in_no_capture(group, mongodb_endpoint, clock):
    """It is undone when that member comes back. The capture reads that very member at the time, and a plain reader finds it in its log."""
    store, target = mongodb.connect(group.endpoint, clock), mongodb.connect(mongodb_endpoint, clock)
    config = group.client.admin.command("replSetGetConfig")["config"]
    config["settings"]["electionTimeoutMillis"] = 1000 * SECONDS  # it stays primary although it hears nothing
    group.client.admin.command("replSetReconfig", {**config, "version": config["version"] + 1})
    group.write()
    parts, end = cases.take(store)
    with cases.captured(store, end.end) as batches:
        group.write()
        alone = group.primary()
        others = [server for server in group.servers if server is not alone]
        for other in others:
            other.kill()
        with real_servers.mongodb_client(alone.endpoint) as client:
            client.app.get_collection("things", write_concern=pymongo.WriteConcern(w=1)).insert_one({"_id": "undone"})
            (undone,) = client.local["oplog.rs"].find({"o._id": "undone"})
            heard = asked(client)
            clocks.wait_for(clock, "the capture to ask again", lambda: asked(client) > heard + 3, within=SECONDS)
        alone.kill()
        for other in others:
            other.start()
        with real_servers.mongodb_client(others[0].endpoint) as client:
            clocks.wait_for(clock, "an election", lambda: stand(client), within=SECONDS, ignoring=(pymongo.errors.PyMongoError,))
        group.write()
        alone.start()
        with real_servers.mongodb_client(alone.endpoint) as client:
            gone = lambda: not client.app.things.find_one({"_id": "undone"}) and client.admin.command("hello")["secondary"]  # noqa: E731
            clocks.wait_for(clock, "it to be undone", gone, within=SECONDS, ignoring=(pymongo.errors.PyMongoError,))
        group.write()
        wanted = cases.everything(group.primary().endpoint)
        position = store.position()
    assert len(wanted["app.things"][0]) == 80
    stamp = (undone["ts"].time, undone["ts"].inc)
    assert not any(entry.ts == stamp for batch in batches for entry, _ in oplog.Reader().entries(iter([batch.block])))
    assert cases.restore(target, parts, [batch.block for batch in batches], position).reached == position
    assert cases.everything(target.endpoint)["app.things"] == wanted["app.things"]


def test_a_member_that_was_made_anew_is_not_the_one_whose_log_is_followed(group, mongodb_endpoint, clock):
    """Its oplog begins when it was made. The others' reach back: neither is a gap, nor is a full backup due, because it is the primary."""
    store, target = mongodb.connect(group.endpoint, clock), mongodb.connect(mongodb_endpoint, clock)
    parts, end = cases.take(store)
    group.write()
    anew = next(server for server in group.servers if server is not group.primary())
    group.make_anew(anew)
    with real_servers.mongodb_client(anew.endpoint) as client:
        group.write()
        clocks.wait_for(
            clock, "an election", lambda: stand(client) and group.primary() is anew, within=SECONDS, ignoring=(pymongo.errors.PyMongoError,)
        )
        assert first_entry(client) > end.end.sequence, "the primary's log does not reach back"
    with cases.captured(store, end.end) as batches:
        group.write()
        wanted = cases.everything(group.primary().endpoint)["app.things"]
    increment, _ = cases.take(store, since=end.end)
    assert len(wanted[0]) == 60
    cases.restore(target, parts, [batch.block for batch in batches])
    assert cases.everything(target.endpoint)["app.things"] == wanted
    cases.empty(target.endpoint)
    cases.restore(target, parts, increments=[increment])
    assert cases.everything(target.endpoint)["app.things"] == wanted


@pytest.fixture
def alone(group, clock):
    """Of three members one that was made anew, whose log does not reach back to where the backup ended; the others are down."""
    store = mongodb.connect(group.endpoint, clock)
    parts, end = cases.take(store)
    group.write()
    anew = next(server for server in group.servers if server is not group.primary())
    group.make_anew(anew)
    group.write()
    reached = store.position()
    with wires.dial(anew.endpoint.addresses[0], clock, anew.endpoint) as wire:
        members.settled(wire, clock, reached.timeline, reached.sequence)  # it reads no more than it knows to be with the majority
    with real_servers.mongodb_client(anew.endpoint) as client:
        assert first_entry(client) > end.end.sequence
    others = [server for server in group.servers if server is not anew]
    for other in others:
        other.kill()
    yield store, parts, end.end, others


def test_what_members_hold_that_are_down_for_a_while_is_no_gap(alone, group, mongodb_endpoint, clock, monkeypatch):
    store, parts, end, others = alone
    missed, looked = follow.Following.missed, list[None]()
    monkeypatch.setattr(follow.Following, "missed", lambda following: looked.append(missed(following)))
    target = mongodb.connect(mongodb_endpoint, clock)
    with cases.captured(store, end) as batches:
        clocks.wait_for(clock, "the capture to look several times", lambda: len(looked) > 5, within=SECONDS)
        assert batches == []
        for other in others:
            other.start()
        group.write()
        wanted = cases.everything(group.primary().endpoint)["app.things"]
    assert len(wanted[0]) == 60
    cases.restore(target, parts, [batch.block for batch in batches])
    assert cases.everything(target.endpoint)["app.things"] == wanted


def test_it_is_one_when_they_stay_away(alone, clock, monkeypatch):
    store, _, end, others = alone
    monkeypatch.setattr(follow, "_PATIENCE_SECONDS", 1.0)
    deadline = clock.monotonic() + SECONDS
    away = "|".join(f"{a}, {b}" for a, b in itertools.permutations(str(other.endpoint.addresses[0]) for other in others))
    with pytest.raises(errors.LogGap, match=rf"of those who answer \(({away}) did not for 1 s\)"):
        for _ in store.follow(end, threading.Event()):
            assert clock.monotonic() < deadline


def first_entry(client):
    """Where its log begins."""
    found = client.local["oplog.rs"].find_one(sort=[("$natural", 1)])["ts"]
    return found.time, found.inc


def stand(client) -> bool:
    return bool(client.admin.command("replSetStepUp")["ok"])


def asked(client) -> int:
    """How often its cursors were asked for more; nobody but the capture has one."""
    return client.admin.command("serverStatus")["opcounters"]["getmore"]


class Overrun:
    """A store of which the log is followed for the first time from where its oplog reaches back no more."""

    def __init__(self, store):
        self._store, self.followed = store, 0

    def follow(self, after, stop):
        self.followed += 1
        gone = dataclasses.replace(after, sequence=(after.sequence[0] - 10**6, 1))
        return self._store.follow(gone if self.followed == 1 else after, stop)

    def __getattr__(self, name):
        return getattr(self._store, name)


def test_an_oplog_that_was_overrun_is_told_and_begins_a_new_chain_that_bridges_nothing(pair, tmp_path, clock):
    source, target = pair
    with cases.client(source.endpoint) as client:
        client.app.things.insert_one({"_id": 1})
        public, secret = backups.generate()
        repository, store = directory.open(tmp_path, clock), Overrun(source)
        first = backups.back_up(source, BackupKind.FULL, repository, [public], clock, random.Random(1))
        told, stop = [], threading.Event()
        capturing = Capturing(store, BackupKind.FULL, repository, [public], clock, random.Random(2), told.append)
        thread = threading.Thread(target=capturing.run, args=(stop,))
        thread.start()
        try:
            clocks.wait_for(clock, "a second session", lambda: store.followed > 1, within=SECONDS)
            client.app.things.insert_one({"_id": 2})
            end = source.position()
            listed = lambda: backups.Catalogue(repository).read().manifests  # noqa: E731
            clocks.wait_for(clock, "the write to be sealed", lambda: chain_to(listed(), "mongodb").end >= end, within=SECONDS)
        finally:
            stop.set()
            thread.join(SECONDS)
    assert any(text.startswith("THE LOG HAS A GAP") for text in told)
    chain = chain_to(listed(), "mongodb")
    assert chain.base.id != first.id and chain.logs[0].begin == chain.base.end
    assert not [m for m in listed() if m.kind is BackupKind.LOG and m.begin < chain.base.end], "nothing bridges the gap"
    backups.restore(chain, target, repository, backups.Opener((secret,)), backups.Lease("mongodb", target.identity()), clock)
    assert cases.everything(target.endpoint)["app.things"] == cases.everything(source.endpoint)["app.things"]
