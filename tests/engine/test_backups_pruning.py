"""Retention applied to a repository: what goes is gone with all its objects, what stays is whole, garbage has its day of grace."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import backup_cases as cases
import pytest

from drplatform.engine import backups
from drplatform.engine.backups import pruning
from drplatform.model import errors, retention
from drplatform.repositories import directory
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


def test_prunes_at_once_and_verifications_beside_them_take_each_other_for_no_damage(tmp_path, clock):
    """On real files: each of the prunes deletes all of the plan, whoever comes first; what is seen beside them is whole or gone."""
    place = directory.open(tmp_path, clock)
    old = [cases.take(cases.source(clock), place, clock) for _ in range(6)]
    young = cases.take(cases.source(clock), place, clock)
    plan = retention.Pruning(tuple(old), {young.id: "young"}, {})
    begin, seen, problems = threading.Barrier(4), [], []

    def prune():
        begin.wait()
        pruning.apply(plan, directory.open(tmp_path, clock), held=frozenset())

    def verify():
        begin.wait()
        seen.extend(backups.verify(manifest, place, cases.OPENER) for manifest in reversed([*old, young]))
        problems.extend(backups.Catalogue(place).read().problems)

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(body) for body in (prune, prune, verify, verify)]:
            done.result(60)
    assert problems == [] and all(one.whole or one.gone for one in seen)
    assert [one.whole for one in seen if one.backup == young.id] == [True, True]
    assert backups.Catalogue(place).read() == backups.catalogue.Listing((young,), ())
    assert not pruning.garbage((young,), (), place, clock.utc() + timedelta(days=9)).keys


def test_a_second_prune_finishes_what_a_killed_one_has_begun(repository, two, clock):
    """Its manifest is gone, so its chunks are garbage, which goes after its grace; the other backup is untouched."""
    first, second = two
    repository.delete(backups.catalogue.manifest_key(first.store, first.kind, first.id))
    repository.delete(first.chunks[0].key)
    listing = backups.Catalogue(repository).read()
    left = pruning.garbage(listing.manifests, listing.problems, repository, clock.utc() + timedelta(days=2))
    assert set(left.keys) == {chunk.key for chunk in first.chunks[1:]}
    pruning.collect(left, repository)
    pruning.collect(left, repository)  # two at once: the other was first
    assert all(second.id in key for key in keys(repository)) and backups.verify(second, repository, None).whole
