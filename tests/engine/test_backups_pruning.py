"""Retention applied to a repository: what goes is gone with all its objects, what stays is whole, garbage has its day of grace."""

from datetime import timedelta

import backup_cases as cases
import pytest

from drplatform.engine import backups
from drplatform.engine.backups import pruning
from drplatform.model import errors, retention
from drplatform.repositories.memory import MemoryRepository


@pytest.fixture
def repository(clock):
    return MemoryRepository(clock)


@pytest.fixture
def two(repository, clock):
    return tuple(cases.take(cases.source(clock), repository, clock) for _ in range(2))


def keys(repository):
    return {info.key for info in repository.list("")}


def test_what_goes_is_gone_and_what_stays_is_whole(repository, two):
    first, second = two
    told = []
    plan = retention.Pruning((first,), {second.id: "young"}, {})
    pruning.apply(plan, repository, told.append)
    assert told == [first]
    listing = backups.Catalogue(repository).read()
    assert listing.manifests == (second,) and not listing.problems
    assert all(second.id in key for key in keys(repository))
    assert backups.verify(second, repository, None).whole
    pruning.apply(plan, repository)  # once more does nothing


class Killed(Exception):
    pass


@pytest.mark.parametrize("survives", [0, 1, 2])
def test_a_prune_that_is_killed_leaves_no_half_backup(repository, two, survives, monkeypatch):
    first, second = two
    delete, done = repository.delete, []

    def dying(key):
        if len(done) == survives:
            raise Killed
        done.append(key)
        delete(key)

    monkeypatch.setattr(repository, "delete", dying)
    with pytest.raises(Killed):
        pruning.apply(retention.Pruning((first,), {}, {}), repository)
    monkeypatch.undo()
    listing = backups.Catalogue(repository).read()
    assert not listing.problems
    for manifest in listing.manifests:
        assert backups.verify(manifest, repository, None).whole
    if survives:
        assert listing.manifests == (second,)


def test_garbage_is_what_no_manifest_names_after_its_day_of_grace(repository, two, clock):
    repository.put("app/full/killed/chunks/000001", b"x" * 10)
    manifests = backups.Catalogue(repository).read().manifests
    assert pruning.garbage(manifests, (), repository, clock.utc()) == pruning.Garbage((), 0)
    found = pruning.garbage(manifests, (), repository, clock.utc() + retention.ORPHAN_GRACE + timedelta(seconds=1))
    assert found == pruning.Garbage(("app/full/killed/chunks/000001",), 10)
    pruning.collect(found, repository)
    with pytest.raises(errors.ObjectMissing):
        repository.get("app/full/killed/chunks/000001")
    assert all(backups.verify(m, repository, None).whole for m in two)


def test_nothing_is_garbage_while_a_manifest_is_damaged(repository, two, clock):
    later = clock.utc() + timedelta(days=9)
    assert pruning.garbage(two[1:], (), repository, later).keys, "what the first one names would be"
    assert pruning.garbage(two[1:], ("manifest damaged",), repository, later) == pruning.Garbage((), 0)
