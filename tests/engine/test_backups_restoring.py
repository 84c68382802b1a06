"""A restore goes into the leased, empty target only, and asks so again right before the first byte."""

import sys
from pathlib import Path

import backup_cases as cases
import pytest

from drplatform.engine import backups
from drplatform.model import errors
from drplatform.model.backup import Chain
from drplatform.model.memory import MemoryServer
from drplatform.repositories import directory
from drplatform.repositories.memory import MemoryRepository


@pytest.fixture
def taken(clock):
    """A repository with one backup, and its chain."""
    repository = MemoryRepository()
    return repository, Chain(cases.take(cases.source(clock), repository, clock))


@pytest.fixture
def server():
    return MemoryServer()


@pytest.fixture
def target(server, clock):
    return cases.store_on(server, clock)


def restore(taken, target, lease, clock, **options):
    repository, chain = taken
    return backups.restore(chain, target, repository, cases.OPENER, lease, clock, **options)


def test_the_leased_empty_target_is_restored(taken, target, clock):
    end = restore(taken, target, backups.Lease("memory", target.identity()), clock)
    assert end.digests == cases.source(clock).digest() and end.refused == ()


def test_a_target_of_another_identity_is_refused(taken, server, target, clock):
    with pytest.raises(errors.TargetRefused, match="was prepared for another"):
        restore(taken, target, backups.Lease("memory", "another"), clock)
    assert server.data == {}


def test_an_occupied_target_is_refused_and_what_it_holds_is_named(taken, server, target, clock):
    target.put("precious", "a", "1")
    with pytest.raises(errors.TargetRefused, match="it holds precious"):
        restore(taken, target, backups.Lease("memory", target.identity()), clock)
    assert server.data == {"precious": {"a": "1"}}


def test_a_client_that_writes_to_the_target_while_the_backup_is_fetched_refuses_it(taken, server, target, clock):
    def somebody_writes(event, **detail):
        if event == "fetch.end":
            target.put("foreign", "a", "1")

    with pytest.raises(errors.TargetRefused, match="it holds foreign"):
        restore(taken, target, backups.Lease("memory", target.identity()), clock, progress=somebody_writes)
    assert server.data == {"foreign": {"a": "1"}}


def test_a_target_that_is_exchanged_while_the_backup_is_fetched_is_refused(taken, server, target, clock):
    lease = backups.Lease("memory", target.identity())

    def exchanged(event, **detail):
        if event == "fetch.end":
            server.lose()

    with pytest.raises(errors.TargetRefused, match="was prepared for"):
        restore(taken, target, lease, clock, progress=exchanged)
    assert server.data == {}


def test_a_target_that_does_not_answer_is_told(taken, server, target, clock):
    lease = backups.Lease("memory", target.identity())
    server.alive = False
    with pytest.raises(errors.StoreError):
        restore(taken, target, lease, clock)


@pytest.mark.parametrize("spool_bytes", [0, 700, 1 << 30])
def test_what_was_checked_is_what_is_loaded_with_any_room_for_it(taken, target, clock, spool_bytes):
    """Between check and load an object is changed: it is not fetched again, or refused."""
    repository, chain = taken
    victim = chain.base.chunks[-1].key
    data = repository.get(victim)

    def tampered(event, **detail):
        if event == "fetch.end":
            repository.delete(victim)
            repository.put(victim, cases.flipped(data, len(data) // 2))

    lease = backups.Lease("memory", target.identity())
    try:
        end = restore(taken, target, lease, clock, progress=tampered, spool_bytes=spool_bytes)
    except errors.IntegrityError:
        assert spool_bytes < chain.base.stored_bytes, "what had room is not fetched again"
    else:
        assert spool_bytes and end.digests == cases.source(clock).digest()


@pytest.fixture
def in_files(tmp_path, clock):
    """A repository of files with one backup, and its chain."""
    repository = directory.open(tmp_path / "vault", clock)
    return repository, Chain(cases.take(cases.source(clock), repository, clock))


def open_descriptors():
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("room", ["open", "spool", "none"])
def test_files_that_were_checked_are_what_is_loaded_though_they_are_exchanged_meanwhile(in_files, target, clock, monkeypatch, room):
    """What stays open need not be copied; what is beyond the files that may be open is copied, or fetched again and refused."""
    repository, chain = in_files
    if room != "open":
        monkeypatch.setattr(sys.modules["drplatform.engine.backups.restore"], "MOST_OPEN", 0)
    victim = chain.base.chunks[-1].key
    before = open_descriptors()

    def tampered(event, **detail):
        if event == "fetch.end":
            data = repository.get(victim)
            repository.delete(victim)
            repository.put(victim, cases.flipped(data, len(data) // 2))

    lease, spool_bytes = backups.Lease("memory", target.identity()), 0 if room == "none" else 1 << 30
    if room == "none":
        with pytest.raises(errors.IntegrityError, match="does not open"):
            restore(in_files, target, lease, clock, progress=tampered, spool_bytes=spool_bytes)
    else:
        end = restore(in_files, target, lease, clock, progress=tampered, spool_bytes=spool_bytes)
        assert end.digests == cases.source(clock).digest()
    assert open_descriptors() == before


@pytest.mark.parametrize("change", ["a bit", "shorter", "longer", "empty"])
def test_a_file_that_is_written_over_after_it_was_checked_is_not_loaded(in_files, target, clock, tmp_path, change):
    repository, chain = in_files
    victim = chain.base.chunks[-1].key
    data = repository.get(victim)
    changed = {"a bit": cases.flipped(data, 40), "shorter": data[:-1], "longer": data + b"\0", "empty": b""}[change]

    def tampered(event, **detail):
        if event == "fetch.end":
            (tmp_path / "vault" / victim).write_bytes(changed)

    with pytest.raises(errors.IntegrityError, match="does not open"):
        restore(in_files, target, backups.Lease("memory", target.identity()), clock, progress=tampered)


def test_a_file_that_is_damaged_or_gone_before_it_is_checked_leaves_the_target_untouched(in_files, server, target, clock, tmp_path):
    _, chain = in_files
    damaged, gone = (tmp_path / "vault" / ref.key for ref in chain.base.chunks[:2])
    damaged.write_bytes(cases.flipped(damaged.read_bytes(), 40))
    gone.unlink()
    before = open_descriptors()
    with pytest.raises(errors.IntegrityError, match=r"checksum does not match.*; .* is not in directory"):
        restore(in_files, target, backups.Lease("memory", target.identity()), clock)
    assert server.data == {} and open_descriptors() == before
