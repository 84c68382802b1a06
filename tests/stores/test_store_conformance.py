"""What every store promises (ports.DataStore, ports.LogCapture), tested on each one there is, on real servers, through real backups."""

import itertools
import pkgutil
import random
import threading
from dataclasses import dataclass

import pymongo
import pytest
import real_servers
import redis

from drplatform import stores
from drplatform.engine import backups
from drplatform.engine.capture import Capture
from drplatform.environment import connect
from drplatform.model import clock as clocks
from drplatform.model import errors, ledger, ports
from drplatform.model.backup import BackupKind
from drplatform.model.ledger import Mark
from drplatform.model.memory import MemoryServer
from drplatform.model.ports import Address, Credentials, Endpoint
from drplatform.model.secret import Secret
from drplatform.repositories.memory import MemoryRepository
from drplatform.stores.memory import MemoryStore

KINDS = ("configuration", "files", "memory", "mongodb", "redis")
ELSEWHERE = {"kubernetes"}
"""Needs a cluster; tested by tests of its own."""
WRITTEN = ("files", "memory", "mongodb", "redis")
LOGGED = ("memory", "mongodb", "redis")
"""Which hold marks of the ledger, and which have a log that can be captured."""
ITEMS = 16
RECIPIENT, IDENTITY = backups.generate()
OPENER = backups.Opener([IDENTITY])


@dataclass
class Pair:
    """Two independent, empty stores of one kind, and a vault."""

    kind: str
    source: ports.DataStore
    target: ports.DataStore
    repository: MemoryRepository
    clock: clocks.Clock

    def take(self):
        kind = BackupKind.SNAPSHOT if self.kind == "redis" else BackupKind.FULL
        return backups.back_up(self.source, kind, self.repository, [RECIPIENT], self.clock, random.Random())

    def restore(self, until=None):
        chain = backups.Catalogue(self.repository).chain_to(self.source.name, until)
        lease = backups.Lease(self.target.name, self.target.identity())
        return backups.restore(chain, self.target, self.repository, OPENER, lease, self.clock)


def connected(kind, request, clock):
    if kind == "memory":
        servers = MemoryServer(), MemoryServer()
        return [MemoryStore(lambda s=server: s, clock) for server in servers]
    if kind == "configuration":
        directories = [request.getfixturevalue("tmp_path") / name for name in ("source", "target")]
        for directory in directories:
            directory.mkdir()
        endpoints = [Endpoint(kind, options={"directory": str(directory)}) for directory in directories]
    else:
        endpoints = request.getfixturevalue(f"{'s3' if kind == 'files' else kind}_endpoint_pair")
    return [connect(endpoint, clock) for endpoint in endpoints]


@pytest.fixture(params=KINDS)
def pair(request, clock):
    source, target = connected(request.param, request, clock)
    yield Pair(request.param, source, target, MemoryRepository(clock), clock)
    source.close()
    target.close()


written = pytest.mark.parametrize("pair", WRITTEN, indirect=True)
logged = pytest.mark.parametrize("pair", LOGGED, indirect=True)


def mark(client, number):
    payload = ledger.payload(client, number, 7)
    return Mark(client, number, ledger.digest(payload)), payload


def write(store, client, numbers):
    marker = store.marker(client)
    try:
        for number in numbers:
            marker.write(*mark(client, number))
    finally:
        marker.close()


def held(store):
    """The numbers of the marks of each client, in the order in which the store keeps them."""
    found = {}
    for one in store.marks():
        assert one == mark(one.client, one.number)[0]
        found.setdefault(one.client, []).append(one.number)
    return found


def test_every_store_there_is_is_tested():
    assert {m.name for m in pkgutil.iter_modules(stores.__path__)} - ELSEWHERE == set(KINDS)


def test_it_is_what_the_ports_ask_for(pair):
    assert isinstance(pair.source, ports.DataStore)
    assert isinstance(pair.source, ports.LogCapture) == (pair.kind in LOGGED)
    assert pair.source.kind == pair.kind and pair.source.name and pair.source.version()
    assert isinstance(pair.source.ordered, bool)


def test_a_fresh_store_is_empty_and_itself(pair):
    assert pair.source.occupants() == pair.target.occupants() == ()
    assert pair.source.identity() == pair.source.identity() != pair.target.identity()
    assert pair.source.position() <= pair.source.position()
    with pytest.raises(errors.IntegrityError, match="no order"):
        assert pair.source.position() < pair.target.position()


def test_reference_content_is_the_same_for_the_same_seed_only(pair):
    pair.source.seed(7, ITEMS)
    pair.target.seed(7, ITEMS)
    assert pair.source.digest() == pair.target.digest() != {}
    assert pair.source.digest() == pair.source.digest()
    assert pair.source.occupants()


def test_other_reference_content_has_another_digest(pair):
    pair.source.seed(7, ITEMS)
    pair.target.seed(8, ITEMS)
    assert pair.source.digest() != pair.target.digest()


def test_what_was_backed_up_is_restored_and_the_source_is_left_alone(pair):
    pair.source.seed(7, ITEMS)
    if pair.kind == "redis":
        pair.take()  # a server gets a new history with its first replica
    before = pair.source.position()
    whole = pair.source.digest()
    manifest = pair.take()
    assert manifest.identity == pair.source.identity() and before <= manifest.end
    assert backups.differing(OPENER, manifest, whole) == []
    assert all(r.whole and r.opened for r in [backups.verify(manifest, pair.repository, OPENER)])
    end = pair.restore()
    assert end.refused == ()
    assert pair.target.digest() == whole == pair.source.digest()
    assert end.reached.sequence >= manifest.end.sequence and end.reached.timeline == manifest.end.timeline
    assert pair.target.identity() != pair.source.identity()


def test_an_occupied_target_is_refused_and_left_as_it_is(pair):
    pair.source.seed(7, ITEMS)
    pair.take()
    pair.target.seed(8, 10)
    before = pair.target.digest()
    with pytest.raises(errors.TargetRefused, match="is not empty"):
        pair.restore()
    assert pair.target.digest() == before
    chain = backups.Catalogue(pair.repository).chain_to(pair.source.name)
    with pytest.raises(errors.TargetRefused, match="was prepared for"):
        backups.restore(chain, pair.target, pair.repository, OPENER, backups.Lease(pair.source.name, "another"), pair.clock)


def serving(pair, stop, served) -> None:
    """Somebody's queue in the target: what comes is gone a moment later."""
    endpoint = pair.target.endpoint
    host, port = endpoint.addresses[0].host, endpoint.addresses[0].port
    if pair.kind == "files":
        s3 = real_servers.s3_client(endpoint)
        come, go = (lambda: s3.put_object(Bucket="pdfs", Key="job", Body=b"1")), (lambda: s3.delete_object(Bucket="pdfs", Key="job"))
    elif pair.kind == "mongodb":
        jobs = pymongo.MongoClient(host, port, directConnection=True).queue.jobs
        come, go = (lambda: jobs.insert_one({"_id": 1})), (lambda: jobs.delete_one({"_id": 1}))
    else:
        r = redis.Redis(host, port)
        come, go = (lambda: r.lpush("jobs", "1")), (lambda: r.lpop("jobs"))
    while not stop.is_set():
        come()
        served.set()
        stop.wait(0.1)
        go()


@pytest.mark.parametrize("pair", ["files", "mongodb", "redis"], indirect=True)
def test_a_target_that_is_empty_and_in_use_is_refused(pair):
    """Empty or not at the moment of the look; MongoDB keeps the collection, so that it is never empty."""
    pair.source.seed(7, ITEMS)
    pair.take()
    pair.target.identity()
    empty = pair.target.digest()
    stop, served = threading.Event(), threading.Event()
    somebody = threading.Thread(target=serving, args=(pair, stop, served))
    somebody.start()
    try:
        assert served.wait(30)
        with pytest.raises(errors.TargetRefused, match=r"in use|is not empty: it holds (pdfs: 1 object|queue\.jobs|db0: 1 keys)"):
            pair.restore()
    finally:
        stop.set()
        somebody.join()
    assert {name: digest for name, digest in pair.target.digest().items() if digest.items and not name.startswith("queue")} == {
        name: digest for name, digest in empty.items() if digest.items
    }


@pytest.mark.parametrize("pair", ["files", "mongodb", "redis"], indirect=True)
def test_what_a_restore_has_not_finished_is_not_backed_up(pair):
    """By cron, say, which does not know of it: that backup would be the newest. With the restore at its end it is one of the whole."""
    pair.source.seed(1, ITEMS)
    pair.take()
    refused, elsewhere = [], MemoryRepository()

    def told(event, **_):
        if event == "restore.end":
            with pytest.raises(errors.StoreError, match=r"holds a restore that is at work or was cut off \(.+\), and so a part"):
                backed_up()
            refused.append(event)

    def backed_up():
        kind = BackupKind.SNAPSHOT if pair.kind == "redis" else BackupKind.FULL
        return backups.back_up(pair.target, kind, elsewhere, [RECIPIENT], pair.clock, random.Random())

    chain = backups.Catalogue(pair.repository).chain_to(pair.source.name)
    lease = backups.Lease(pair.target.name, pair.target.identity())
    backups.restore(chain, pair.target, pair.repository, OPENER, lease, pair.clock, progress=told)
    assert refused == ["restore.end"]
    assert not backups.Catalogue(elsewhere).read().manifests
    assert backed_up().id == backups.Catalogue(elsewhere).chain_to(pair.target.name).base.id


def test_a_backup_of_an_empty_store_is_restored_to_an_empty_store(pair):
    whole = pair.source.digest()
    pair.take()
    assert pair.restore().refused == ()
    assert pair.target.digest() == whole


@written
def test_marks_come_back_as_written_and_are_no_reference_content(pair):
    pair.source.seed(7, ITEMS)
    whole = pair.source.digest()
    write(pair.source, "client-1", range(1, 9))
    write(pair.source, "client-2", range(1, 4))
    assert held(pair.source) == {"client-1": list(range(1, 9)), "client-2": [1, 2, 3]}
    assert pair.source.digest() == whole
    pair.take()
    pair.restore()
    assert held(pair.target) == held(pair.source)


@written
def test_a_user_is_served_only_where_the_old_write_is(pair):
    anchor, payload = mark("anchor", 1)
    write(pair.source, "anchor", [1])
    for store, served in ((pair.source, True), (pair.target, False)):
        prober = store.prober(anchor, payload)
        try:
            for number in (1, 2):
                try:
                    prober.attempt(number, 2.0)
                except errors.StoreError:
                    assert not served
                else:
                    assert served
        finally:
            prober.close()
    assert held(pair.source) == {"anchor": [1]}, "probes are kept apart from the marks"
    assert pair.source.digest() == {} or not any("prob" in name for name in pair.source.digest())


@logged
def test_any_position_of_the_log_can_be_restored(pair):
    pair.source.seed(7, ITEMS)
    write(pair.source, "client-1", range(1, 6))
    manifest = pair.take()
    capture = Capture(pair.source, pair.repository, [RECIPIENT], pair.clock, random.Random(), manifest.end, seal_seconds=0.05)
    capture.start()
    write(pair.source, "client-1", range(6, 16))
    middle = pair.source.position()
    write(pair.source, "client-1", range(16, 31))
    last = pair.source.position()
    clocks.wait_for(pair.clock, "the log to be captured", lambda: capture.reached >= last, within=30)
    capture.stop()
    end = pair.restore(middle)
    assert end.refused == ()
    assert held(pair.target) == {"client-1": list(range(1, 16))}
    assert pair.target.digest() == pair.source.digest()


@logged
def test_all_of_the_log_is_restored_and_its_operations_can_be_read(pair):
    pair.source.seed(7, ITEMS)
    manifest = pair.take()
    capture = Capture(pair.source, pair.repository, [RECIPIENT], pair.clock, random.Random(), manifest.end, seal_seconds=0.05)
    capture.start()
    write(pair.source, "client-1", range(1, 21))
    last = pair.source.position()
    clocks.wait_for(pair.clock, "the log to be captured", lambda: capture.reached >= last, within=30)
    capture.stop()
    chain = backups.Catalogue(pair.repository).chain_to(pair.source.name)
    operations = [o for block in backups.log_blocks(chain, pair.repository, OPENER) for o in pair.source.operations(block)]
    assert len(operations) >= 20 and all(o.before < o.at and o.verb and o.subject for o in operations)
    assert all(a.at <= b.at for a, b in itertools.pairwise(operations))
    assert pair.restore().refused == ()
    assert held(pair.target) == held(pair.source) == {"client-1": list(range(1, 21))}


@pytest.mark.parametrize("kind", ["files", "mongodb", "redis"])
def test_a_server_that_is_away_is_told_in_a_sentence(kind):
    credentials = Credentials("somebody", Secret("a-secret-of-mine"))
    endpoint = Endpoint(kind, (Address("127.0.0.1", 1),), {"replica_set": "test", "buckets": "uploads"}, credentials)
    store = connect(endpoint, clocks.FakeClock())
    for ask in (store.identity, store.version, store.position, store.occupants, store.digest, lambda: list(store.marks())):
        with pytest.raises(errors.StoreError, match=r"127\.0\.0\.1:1") as caught:
            ask()
        assert "a-secret-of-mine" not in str(caught.value)
    store.close()
