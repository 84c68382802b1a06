"""The writing clients: the ledger holds every write with its outcome, also of those that were refused, hung or cut off."""

import json
import threading
from collections import Counter

import pytest

from drplatform.engine.workload import Workload
from drplatform.model import clock as clocks
from drplatform.model import errors, ledger, loss
from drplatform.model.ledger import Outcome
from drplatform.model.memory import MemoryServer
from drplatform.stores.memory import MemoryStore


@pytest.fixture
def server():
    return MemoryServer()


@pytest.fixture
def store(server, clock):
    return MemoryStore(lambda: server, clock)


def workload_on(store, clock, tmp_path, **options):
    return Workload({"memory": store}, tmp_path / "ledger.jsonl", clock, 7, period=0.001, **options)


@pytest.fixture
def workload(store, clock, tmp_path):
    made = workload_on(store, clock, tmp_path, clients_per_store=3)
    made.start()
    yield made
    made.stop()


def test_every_acknowledged_write_is_in_the_ledger_and_in_the_store(workload, store):
    workload.wait_for_acks("memory", 100, within=20)
    workload.stop()
    entries = workload.entries()
    assert Counter(e.outcome for e in entries) == {Outcome.ACKED: workload.acked("memory")}
    assert {e.mark for e in entries} == set(store.marks())
    assert {e.mark.client for e in entries} == {"anchor", "client-1", "client-2", "client-3"}
    assert loss.compare("memory", entries, store.marks()).lost == ()
    assert workload.digest() == workload.digest()


def test_each_client_numbers_its_writes_without_a_hole_and_never_twice(workload, server, clock):
    workload.wait_for_acks("memory", 20, within=20)
    server.alive = False
    clocks.wait_for(clock, "refusals", lambda: any(e.outcome is Outcome.FAILED for e in workload.entries()), within=20)
    server.alive = True
    workload.wait_for_acks("memory", 20, within=20)
    workload.stop()
    for client in ("client-1", "client-2", "client-3"):
        numbers = [e.mark.number for e in workload.entries() if e.mark.client == client]
        assert numbers == list(range(1, len(numbers) + 1))


def test_refused_writes_are_failed_and_not_in_the_store(workload, store, server, clock):
    server.alive = False
    clocks.wait_for(
        clock, "refusals", lambda: [e for e in workload.entries() if e.outcome is Outcome.FAILED], within=20, until=lambda f: len(f) > 5
    )
    server.alive = True
    workload.wait_for_acks("memory", 5, within=20)
    workload.stop()
    found = loss.compare("memory", workload.entries(), store.marks())
    assert found.failed > 5 and found.lost == () and found.phantom == () and found.indeterminate == 0


class Cut:
    """A store whose connection is cut in the middle of each fifth write: it happened, but nobody heard."""

    def __init__(self, store):
        self._store = store

    def marker(self, client):
        return CutMarker(self._store.marker(client), client)


class CutMarker:
    def __init__(self, marker, client):
        self._marker, self._client = marker, client

    def write(self, mark, payload):
        self._marker.write(mark, payload)
        if self._client != "anchor" and mark.number % 5 == 0:
            raise errors.Indeterminate("cut")

    def close(self): ...


def test_writes_of_which_nobody_knows_are_told_apart(store, clock, tmp_path):
    workload = workload_on(Cut(store), clock, tmp_path)
    workload.start()
    workload.wait_for_acks("memory", 40, within=20)
    workload.stop()
    unknown = [e.mark.number for e in workload.entries() if e.outcome is Outcome.INDETERMINATE]
    assert unknown and all(number % 5 == 0 for number in unknown)
    found = loss.compare("memory", workload.entries(), store.marks())
    assert len(found.unknown_kept) == len(unknown) and found.lost == () and found.phantom == ()


def test_a_write_is_in_the_ledger_before_it_is_sent(store, clock, tmp_path):
    path, seen = tmp_path / "ledger.jsonl", []

    class Looking(Cut):
        def marker(self, client):
            return self

        def write(self, mark, payload):
            rows = [json.loads(line) for line in path.read_text().splitlines()]
            seen.append(["invoke", "memory", mark.client, mark.number] in [row[:4] for row in rows])

        def close(self): ...

    workload = workload_on(Looking(store), clock, tmp_path)
    workload.start()
    clocks.wait_for(clock, "writes", lambda: len(seen), within=20, until=lambda count: count > 10)
    workload.stop()
    assert all(seen)


def test_the_ledger_of_a_killed_writer_is_read_and_its_last_write_is_unknown(workload, tmp_path):
    workload.wait_for_acks("memory", 10, within=20)
    workload.stop()
    content = (tmp_path / "ledger.jsonl").read_bytes()
    whole = content.rpartition(b'["acked"')[0]
    for torn in (whole, whole + b'["ack', whole + b'["acked"'):
        (tmp_path / "ledger.jsonl").write_bytes(torn)
        entries = workload.entries()
        assert [e.outcome for e in entries].count(Outcome.INDETERMINATE) == 1
        assert len(entries) == len(ledger.read(content.decode().splitlines()))


def test_a_ledger_that_is_damaged_in_the_middle_proves_nothing(workload, tmp_path):
    workload.wait_for_acks("memory", 10, within=20)
    workload.stop()
    lines = (tmp_path / "ledger.jsonl").read_text().splitlines()
    (tmp_path / "ledger.jsonl").write_text("\n".join([*lines[:5], lines[5][:-4], *lines[6:]]))
    with pytest.raises(errors.IntegrityError, match="line 6"):
        workload.entries()


def test_writing_that_stopped_early_is_noticed(workload, clock):
    workload.wait_for_acks("memory", 10, within=20)
    workload.stop()
    last = max(e.returned for e in workload.entries())
    assert loss.wrote_until(workload.entries(), "memory", last + 0.1, 1.0)
    assert not loss.wrote_until(workload.entries(), "memory", last + 2.0, 1.0)
    assert not loss.wrote_until(workload.entries(), "another", last, 1.0)


class Dying(Cut):
    def marker(self, client):
        if client == "client-2":
            raise ZeroDivisionError("planted")
        return self._store.marker(client)


def test_a_client_that_dies_makes_the_run_inconclusive(store, clock, tmp_path):
    workload = workload_on(Dying(store), clock, tmp_path)
    workload.start()
    workload.wait_for_acks("memory", 5, within=20)
    with pytest.raises(errors.Inconclusive, match="A writing client died: ZeroDivisionError: planted"):
        workload.stop()
    assert not [t.name for t in threading.enumerate() if t.name.startswith("write-memory-")]


def test_a_store_that_takes_no_first_write_is_told_at_once(store, server, clock, tmp_path):
    server.alive = False
    workload = workload_on(store, clock, tmp_path)
    with pytest.raises(errors.StoreError, match="did not acknowledge the first write"):
        workload.start()
    workload.stop()


def test_acknowledgements_that_do_not_come_are_told_with_what_was_seen(workload, server):
    server.alive = False
    with pytest.raises(errors.DeadlineExceeded, match="5 more writes to memory"):
        workload.wait_for_acks("memory", 5, within=0.2)


def test_a_ledger_is_never_overwritten(workload, store, clock, tmp_path):
    with pytest.raises(FileExistsError):
        workload_on(store, clock, tmp_path).start()
