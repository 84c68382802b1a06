"""A verification that reads some of a backup sees all of it; what a prune takes away meanwhile is no damage."""

import random

import backup_cases as cases
import pytest

from drplatform.engine import backups


@pytest.fixture
def whole(clock):
    """A backup of some chunks: its manifest, and its objects by key."""
    repository = cases.MemoryRepository(clock)
    manifest = cases.take(cases.source(clock, items=60), repository, clock)
    assert len(manifest.chunks) > 8
    return manifest, cases.objects(repository)


def test_a_sample_reads_so_many_and_says_what_that_proves(whole):
    manifest, content = whole
    some = backups.choose(manifest, 0.25, random.Random(3))
    found = backups.verify(manifest, cases.holding(content), cases.OPENER, chosen=some)
    assert found.whole and found.read == len(some) + 1 < found.objects == len(manifest.chunks) + 1
    assert 1 < found.bound <= found.objects
    everything = backups.verify(manifest, cases.holding(content), cases.OPENER)
    assert everything.read == everything.objects and everything.bound == 1


@pytest.mark.parametrize("sampled", [True, False])
def test_a_chunk_that_is_missing_or_cut_is_found_without_being_read_and_a_changed_one_by_reading(whole, sampled):
    manifest, content = whole
    victim = manifest.chunks[3]
    chosen = frozenset({victim} if sampled else {manifest.chunks[0]})

    def problems(changed):
        return backups.verify(manifest, cases.holding(changed), cases.OPENER, chosen=chosen).problems

    missing = {key: data for key, data in content.items() if key != victim.key}
    assert len(problems(missing)) == 1 and victim.key in problems(missing)[0]
    assert victim.key in problems({**content, victim.key: content[victim.key][:-1]})[0]
    flipped = problems({**content, victim.key: cases.flipped(content[victim.key], 5)})
    assert len(flipped) == (1 if sampled else 0)


def test_what_is_deleted_whole_meanwhile_is_gone_and_not_damaged(whole):
    manifest, content = whole
    rest = {key: data for key, data in content.items() if not key.endswith("manifest.json")}
    gone = backups.verify(manifest, cases.holding(rest), cases.OPENER)
    assert gone.gone and not gone.whole
    damaged = backups.verify(manifest, cases.holding({k: d for k, d in content.items() if k != manifest.chunks[0].key}), cases.OPENER)
    assert not damaged.gone and not damaged.whole, "its manifest still promises it"


def test_a_backup_deleted_between_listing_and_reading_is_not_a_problem_but_an_unreadable_one_is(whole, monkeypatch):
    _, content = whole
    name = cases.manifest_name(content)
    pruned = cases.holding(content)
    get = pruned.get

    def pruned_meanwhile(key):
        pruned.delete(key)
        return get(key)

    monkeypatch.setattr(pruned, "get", pruned_meanwhile)
    assert backups.Catalogue(pruned).read() == backups.catalogue.Listing((), ())
    unreadable = cases.holding(content)
    without = cases.holding({key: data for key, data in content.items() if key != name})
    monkeypatch.setattr(unreadable, "get", without.get)
    listing = backups.Catalogue(unreadable).read()
    assert not listing.manifests and len(listing.problems) == 1 and name in listing.problems[0]
