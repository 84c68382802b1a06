"""Every fault on backups on every kind of artefact is caught by some layer before traffic is switched; the score itself has a planted miss."""

import random

import pytest
from real_servers import CLOCK

from drplatform import environment
from drplatform.engine import backups, mutations
from drplatform.engine.capture import Capture
from drplatform.model import clock as clocks
from drplatform.model import errors
from drplatform.model.backup import BackupKind
from drplatform.model.memory import MemoryServer
from drplatform.repositories.memory import MemoryRepository
from drplatform.stores.memory import MemoryStore

FAULTS = tuple(k for k in environment.fault_kinds() if k.startswith(("backup-", "manifest-", "log-", "retention-")))


@pytest.fixture
def small(tmp_path):
    """Two full backups of a store in memory and six slices of its log."""
    recipient, identity = backups.generate()
    repository, generator = MemoryRepository(CLOCK), random.Random(7)
    server = MemoryServer()
    store = MemoryStore(lambda: server, CLOCK, "mongodb", items_per_block=5)
    store.seed(7, 12)
    for number in range(2):
        backups.back_up(store, BackupKind.FULL, repository, [recipient], CLOCK, generator)
        store.put("other", str(number), "1")
    after = backups.Catalogue(repository).chain_to("mongodb").end
    capture = Capture(store, repository, [recipient], CLOCK, generator, after, seal_seconds=0.0)
    capture.start()
    for number in range(6):
        reached = capture.reached
        store.put("more", str(number), "1")
        clocks.wait_for(CLOCK, "a slice", lambda r=reached: capture.reached != r, within=20)
    capture.stop()
    return trial(repository, identity, tmp_path)


def trial(repository, identity, directory):
    taken = backups.Catalogue(repository).read().manifests
    policy = environment.load_policy(None)
    return mutations.Trial(repository, backups.Opener([identity]), taken, policy, CLOCK, directory)


def content(repository):
    return {info.key: repository.get(info.key) for info in repository.list("")}


def test_every_fault_on_backups_is_caught_before_the_switch(small):
    before = content(small.repository)
    found = mutations.score(small, environment.fault, FAULTS)
    print(mutations.table(found))
    assert {m.fault for m in found} == set(FAULTS), "each fault was tried"
    assert {(m.of, m.artefact) for m in found} == {(o, a) for o in ("full", "log") for a in ("chunk", "manifest")}
    assert [m for m in found if not m.caught] == []
    assert content(small.repository) == before, "each fault was undone"
    assert {layer for m in found for layer in m.layers} == set(mutations.LAYERS), "no layer is idle"


def test_a_layer_that_sleeps_is_seen_in_the_score(small, monkeypatch):
    """Planted: without its layers, damage is missed; and what changes nothing is told apart from what was missed."""
    monkeypatch.setattr(mutations, "_LOOKS", {})
    found = mutations.score(small, environment.fault, ("backup-bit-flipped", "backup-part-duplicated"))
    assert found and all(m.layers == (mutations.MISSED,) and not m.caught for m in found if (m.of, m.artefact) != ("full", "manifest"))
    assert "0 of" in mutations.summary([m for m in found if not m.caught])


def test_more_than_allowed_is_not_copied(small):
    with pytest.raises(errors.SettingsError, match="raise the limit"):
        mutations.copied(small.repository, MemoryRepository(CLOCK), small.taken, 100)


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_the_complete_score_on_backups_of_real_servers(world, tmp_path):
    """All faults on all artefacts of MongoDB, Redis and file storage."""
    world.settle()
    for store in ("mongodb", "redis", "files"):
        world.back_up(store)
        world.write_to(store, 3)
        world.back_up(store)
        if store != "files":
            world.capture(store, 5)
    copy = MemoryRepository(CLOCK)
    mutations.copied(world.repository, copy, backups.Catalogue(world.repository).read().manifests, 1 << 28)
    found = mutations.score(trial(copy, world.identity, tmp_path), environment.fault, FAULTS)
    print(mutations.summary(found))
    print(mutations.table(found))
    assert {(m.store, m.of) for m in found} == {
        ("mongodb", "full"),
        ("mongodb", "log"),
        ("redis", "snapshot"),
        ("redis", "log"),
        ("files", "full"),
    }
    assert [m for m in found if not m.caught] == []
