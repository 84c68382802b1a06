"""Continuous capture: no entry is missed, doubled or taken out of order, whatever happens to the store; a gap ends it."""

import itertools
import random
import threading

import backup_cases as cases
import pytest

from drplatform.engine import backups
from drplatform.engine.capture import Capture
from drplatform.model import clock as clocks
from drplatform.model import errors, ports
from drplatform.model.backup import BackupKind
from drplatform.model.memory import MemoryServer
from drplatform.repositories.memory import MemoryRepository
from drplatform.stores.memory import MemoryStore


@pytest.fixture
def server():
    return MemoryServer()


@pytest.fixture
def store(server, clock):
    made = cases.store_on(server, clock)
    made.seed(1, 5)
    return made


@pytest.fixture
def repository():
    return MemoryRepository()


def capture_of(store, repository, clock, after=None, seal_seconds=0.01, patience=300.0):
    begin = after or store.position()
    return Capture(store, repository, [cases.RECIPIENT], clock, random.Random(), begin, seal_seconds=seal_seconds, patience=patience)


def slices(repository):
    return [m for m in backups.Catalogue(repository).read("memory").manifests if m.kind is BackupKind.LOG]


def wait_until_sealed(capture, store, clock):
    """Until everything that is in the store now is sealed in the repository."""
    now = store.position()
    clocks.wait_for(clock, "the log to be sealed", lambda: capture.reached >= now, within=20)


def test_what_is_captured_brings_back_what_was_written(store, repository, clock):
    cases.take(store, repository, clock)
    capture = capture_of(store, repository, clock)
    capture.start()
    for number in range(300):
        store.put("app", f"{number:03d}", str(number))
        if number % 100 == 50:
            wait_until_sealed(capture, store, clock)
    wait_until_sealed(capture, store, clock)
    capture.stop()
    assert len(slices(repository)) >= 3
    restored = MemoryServer()
    cases.restore(backups.Catalogue(repository).chain_to("memory"), repository, clock, restored)
    assert restored.data == store.server().data


def test_each_slice_begins_where_the_one_before_it_ended(store, repository, clock):
    begin = store.position()
    capture = capture_of(store, repository, clock)
    capture.start()
    for number in range(50):
        store.put("app", str(number), "x")
        if number % 10 == 9:
            wait_until_sealed(capture, store, clock)
    capture.stop()
    found = sorted(slices(repository), key=lambda m: m.begin.sequence)
    assert found[0].begin.sequence == begin.sequence
    assert all(a.end == b.begin for a, b in itertools.pairwise(found))
    assert sum(m.counts["entries"] for m in found) == 50


def test_a_session_can_go_on_where_another_ended(store, repository, clock):
    cases.take(store, repository, clock)
    first = capture_of(store, repository, clock)
    first.start()
    store.put("app", "1", "first")
    first.stop()
    store.put("app", "2", "between")
    second = capture_of(store, repository, clock, after=first.reached)
    second.start()
    store.put("app", "3", "second")
    wait_until_sealed(second, store, clock)
    second.stop()
    chain = backups.Catalogue(repository).chain_to("memory", store.position())
    restored = MemoryServer()
    cases.restore(chain, repository, clock, restored)
    assert restored.data["app"] == {"1": "first", "2": "between", "3": "second"}


def test_a_store_that_goes_away_and_comes_back_loses_nothing(store, server, repository, clock):
    capture = capture_of(store, repository, clock)
    capture.start()
    store.put("app", "1", "x")
    server.alive = False
    clock.wait(threading.Event(), 0.1)  # the capture looks every 0.02 s, and finds nobody
    server.alive = True
    store.put("app", "2", "x")
    wait_until_sealed(capture, store, clock)
    capture.stop()
    assert sum(m.counts["entries"] for m in slices(repository)) == 2


def test_another_server_at_the_same_address_ends_the_capture(store, server, repository, clock):
    capture = capture_of(store, repository, clock)
    capture.start()
    store.put("app", "1", "x")
    clocks.wait_for(clock, "the slice", lambda: slices(repository), within=20)
    server.lose()
    clocks.wait_for(clock, "the end", lambda: capture.error, within=20)
    with pytest.raises(errors.LogGap):
        capture.stop()
    capture.stop()


class MadeUp:
    """A store with a log that the test makes up."""

    name = kind = "memory"

    def __init__(self, store):
        self._store = store

    def identity(self):
        return self._store.identity()

    def operations(self, block):
        return self._store.operations(block)

    def follow(self, after, stop):
        raise NotImplementedError


def test_a_log_that_jumps_is_never_bridged(store, repository, clock):
    begin = store.position()
    for number in range(3):
        store.put("app", str(number), "x")
    jumping = MadeUp(store)
    jumping.follow = lambda after, stop: iter([batch(begin, 0, 1, clock), batch(begin, 2, 3, clock)])
    capture = capture_of(jumping, repository, clock, begin)
    capture.start()
    with pytest.raises(errors.LogGap, match="jumps"):
        clocks.wait_for(clock, "the end", capture.stop, within=20)
    assert capture.reached <= at(begin, 1), "nothing behind the jump is sealed"


def at(begin, number):
    return type(begin)(begin.timeline, (begin.sequence[0] + number,), begin.at)


def batch(begin, after, to, clock):
    return ports.LogBatch(at(begin, after), at(begin, to), b"x\n", to - after, clock.utc())


def test_a_vault_that_comes_back_gets_everything_without_a_gap(store, repository, clock):
    away = threading.Event()
    away.set()
    tried = threading.Event()

    def fails(number, key):
        if away.is_set():
            tried.set()
        return away.is_set()

    capture = capture_of(store, cases.Failing(repository, fails, errors.StoreError("the vault is gone")), clock)
    capture.start()
    for number in range(5):
        store.put("app", str(number), "x")
    assert tried.wait(20)
    away.clear()
    store.put("app", "last", "x")
    wait_until_sealed(capture, store, clock)
    capture.stop()
    found = sorted(slices(repository), key=lambda m: m.begin.sequence)
    assert all(a.end == b.begin for a, b in itertools.pairwise(found))
    assert sum(m.counts["entries"] for m in found) == 6


def test_a_vault_that_stays_away_ends_the_capture_and_is_told(store, repository, clock):
    failing = cases.Failing(repository, lambda number, key: True, errors.StoreError("the vault is gone"))
    capture = capture_of(store, failing, clock, patience=0.1)
    begin = capture.reached
    capture.start()
    store.put("app", "1", "x")
    clocks.wait_for(clock, "the end", lambda: capture.error, within=20)
    with pytest.raises(errors.StoreError, match="the vault is gone"):
        capture.stop()
    assert capture.reached == begin, "what is not sealed is not reached"


def test_a_defect_makes_the_run_inconclusive(store, repository, clock):
    broken = MadeUp(store)
    broken.follow = lambda after, stop: 1 // 0
    capture = capture_of(broken, repository, clock, store.position())
    capture.start()
    with pytest.raises(errors.Inconclusive, match="died: ZeroDivisionError"):
        clocks.wait_for(clock, "the end", capture.stop, within=20)


def test_a_store_without_a_log_is_refused(repository, clock):
    class NoLog:
        name = "files"

    with pytest.raises(errors.SettingsError, match="files has no log"):
        Capture(NoLog(), repository, [cases.RECIPIENT], clock, random.Random(), None)


def test_while_nothing_happens_no_slice_is_sealed(store, repository, clock):
    capture = capture_of(store, repository, clock)
    capture.start()
    clock.wait(threading.Event(), 0.2)  # looks every 0.02 s, and would seal every 0.01 s
    assert slices(repository) == []
    capture.stop()
    assert [m.counts["entries"] for m in slices(repository)] == [0], "the last slice says until when it looked"
    assert isinstance(store, MemoryStore) and isinstance(store, ports.LogCapture)
