"""The memory platform keeps the platforms' contract with objects for servers."""

import pytest

from drplatform.model import errors, ports
from drplatform.platforms.memory import MemoryPlatform


@pytest.fixture
def platform(tmp_path):
    with MemoryPlatform(tmp_path) as made:
        yield made


def test_it_has_the_powers_of_a_real_one(platform):
    assert isinstance(platform, ports.Platform) and isinstance(platform, ports.Provisionable)
    assert [r.name for r in platform.regions] == ["primary", "secondary"]
    for region in platform.regions:
        for instance in region.instances:
            assert instance.running() and isinstance(instance, ports.Killable) and isinstance(instance, ports.Erasable)
    assert platform.server(platform.vault()).alive


def test_a_lost_server_is_replaced_privately_and_then_published(platform):
    public = platform.endpoint("mongodb")
    old = platform.server(public)
    old.data["a"] = 1
    (lost,) = platform.regions[0].of("mongodb")
    with pytest.raises(errors.StoreError, match="stop or kill it"):
        lost.erase()
    lost.kill()
    lost.erase()
    assert lost.stored_bytes() == 0
    private = platform.provision("primary", "mongodb")
    platform.server(private).data["a"] = 2
    with pytest.raises(errors.StoreError, match="Nothing answers"):
        platform.server(public)
    with pytest.raises(errors.RecoveryFailed, match="fence"):
        platform.publish("primary", "mongodb")
    platform.fence("secondary", "mongodb")
    platform.publish("primary", "mongodb")
    platform.rejoin("secondary", "mongodb")
    fresh = platform.server(public)
    assert fresh is not old and fresh.generation > 1 and fresh.data == {"a": 2}
    assert all(i.running() for r in platform.regions for i in r.of("mongodb"))


def test_a_kill_alone_keeps_the_disk(platform):
    (instance,) = platform.regions[0].of("redis")
    platform.server(platform.endpoint("redis")).data["a"] = 1
    instance.kill()
    with pytest.raises(errors.StoreError):
        platform.server(platform.endpoint("redis"))
    instance.start()
    assert platform.server(platform.endpoint("redis")).data == {"a": 1}


def test_what_lives_is_not_replaced_and_nothing_is_published_unprovisioned(platform):
    with pytest.raises(errors.RecoveryFailed, match="still runs"):
        platform.provision("primary", "redis")
    with pytest.raises(errors.RecoveryFailed, match="provision"):
        platform.publish("primary", "redis")
    with pytest.raises(errors.RecoveryFailed, match="publish one first"):
        platform.rejoin("primary", "redis")
