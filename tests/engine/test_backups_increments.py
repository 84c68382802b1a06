"""Increments in chains, in the map of what can be recovered, and under the real command: taken, restored, pruned."""

import random
from datetime import UTC, datetime, timedelta

import pytest
import real_servers

from drplatform import environment
from drplatform.engine import backups
from drplatform.model import errors, retention
from drplatform.model.backup import BackupKind, Manifest, chain_at, chain_to
from drplatform.model.position import Position
from drplatform.repositories import directory
from drplatform.stores import mongodb

FULL, INCREMENTAL, LOG = BackupKind.FULL, BackupKind.INCREMENTAL, BackupKind.LOG
START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def generator():
    return random.Random(1)


def manifest(name, kind, begin, end):
    at = START + timedelta(seconds=end)
    positions = [Position("t", (n,), START.timestamp() + n) for n in (begin, end)]
    return Manifest(name, "mongodb", "mongodb", kind, "id", *positions, at, at, (), {}, ())


def names(chain):
    return [m.id for m in chain.backups]


@pytest.fixture
def catalogue():
    """A full backup at 10, increments every 10, the log from 10 on with a hole from 42 to 47."""
    slices = [manifest(f"l{n}", LOG, n, n + 1) for n in range(9, 60) if not 42 <= n < 47]
    return [manifest("full", FULL, 8, 10), *(manifest(f"i{n}", INCREMENTAL, n - 10, n) for n in (20, 30, 40, 50)), *slices]


def to(catalogue, end):
    return chain_to(catalogue, "mongodb", Position("t", (end,), 0.0))


def test_a_chain_goes_by_increments_then_by_the_log(catalogue):
    assert names(chain_to(catalogue, "mongodb")) == ["full", "i20", "i30", "i40", "i50", *(f"l{n}" for n in range(50, 60))]
    assert names(to(catalogue, 32)) == ["full", "i20", "i30", "l30", "l31"]
    assert names(to(catalogue, 30)) == ["full", "i20", "i30"]
    assert names(to(catalogue, 12)) == ["full", "l10", "l11"]
    assert names(chain_at(catalogue, "mongodb", START + timedelta(seconds=33))) == ["full", "i20", "i30", "l30", "l31", "l32"]


def test_what_no_increment_leads_to_is_reached_by_the_log(catalogue):
    without = [m for m in catalogue if m.id != "i30"]
    assert names(to(without, 41))[:3] == ["full", "i20", "l20"]
    with pytest.raises(errors.LogGap, match="reaches 42"):
        to(without, 50)


def test_increments_reach_behind_a_hole_in_the_log(catalogue):
    with pytest.raises(errors.LogGap):
        to(catalogue, 45)
    assert names(to(catalogue, 51)) == ["full", "i20", "i30", "i40", "i50", "l50"]
    reached = retention.reachable(catalogue, "mongodb")
    assert [((r.since - START).seconds, (r.until - START).seconds) for r in reached] == [(10, 42), (50, 60)]
    assert retention.gaps(reached, START + timedelta(seconds=10), START + timedelta(seconds=60)) == (
        (START + timedelta(seconds=42), START + timedelta(seconds=50)),
    )


def test_a_slice_is_proved_after_slices_or_after_increments_where_those_are_gone(catalogue):
    by_name = {m.id: m for m in catalogue}
    assert names(backups.chain_of(by_name["l30"], catalogue)) == ["full", *(f"l{n}" for n in range(10, 31))]
    assert names(backups.chain_of(by_name["l52"], catalogue)) == ["full", "i20", "i30", "i40", "i50", "l50", "l51", "l52"]
    with pytest.raises(errors.LogGap):
        backups.chain_of(by_name["l49"], catalogue)  # i50 holds what it holds, and would be restored in its stead


def test_one_that_was_taken_twice_is_used_once(catalogue):
    twice = [*catalogue, manifest("again", INCREMENTAL, 20, 33), manifest("after", INCREMENTAL, 33, 38)]
    assert names(to(twice, 45 - 3))[:4] == ["full", "i20", "i30", "i40"]
    assert names(to(twice, 39))[:4] == ["full", "i20", "again", "after"]


@pytest.mark.parametrize("kept", ["i30", "l33"])
def test_pruning_keeps_what_a_kept_increment_or_slice_needs(catalogue, kept):
    policy = environment.load_policy(None)
    late = START + timedelta(days=8)
    newer = manifest("new", FULL, 8 * 86400 - 100, 8 * 86400 - 50)
    plan = retention.prune([*catalogue, newer], policy, late, holds={kept})
    assert {"full", "i20"} <= set(plan.keep)
    assert "l11" in {m.id for m in plan.delete}


# -- real servers -------------------------------------------------------------------------------------------------------------------


def test_taken_and_restored_through_a_repository(mongodb_endpoint_pair, tmp_path, clock, generator):
    source, target = (mongodb.connect(e, clock) for e in mongodb_endpoint_pair)
    repository = directory.open(tmp_path, clock)
    public, secret = backups.generate()

    def take(kind):
        return backups.back_up(source, kind, repository, [public], clock, generator)

    with pytest.raises(errors.LogGap, match="no full backup"):
        take(INCREMENTAL)
    source.seed(3, 60)
    take(FULL)
    with real_servers.mongodb_client(mongodb_endpoint_pair[0]) as client:
        for number in range(3):
            client.shop.orders.insert_many([{"n": number, "k": k} for k in range(10)])
            client.shop.orders.update_many({}, {"$inc": {"n": 1}})
            if number == 1:
                client.shop.orders.create_index("n")
            taken = take(INCREMENTAL)
            expected = source.digest()
            assert taken.digests and backups.differing(backups.Opener((secret,)), taken, expected) == []
            chain = backups.Catalogue(repository).chain_to("mongodb")
            assert chain.increments[-1] == taken and len(chain.increments) == number + 1
            _emptied(mongodb_endpoint_pair[1])
            end = backups.restore(chain, target, repository, backups.Opener((secret,)), backups.Lease("mongodb", target.identity()), clock)
            assert dict(target.digest()) == dict(expected)
            assert end.reached == taken.end


def _emptied(endpoint):
    with real_servers.mongodb_client(endpoint) as client:
        for name in client.list_database_names():
            if name not in ("admin", "local", "config"):
                client.drop_database(name)


def test_a_store_without_increments_says_so(memory_kit, tmp_path, clock, generator):
    public, _ = backups.generate()
    with pytest.raises(errors.SettingsError, match="no incremental backups"):
        backups.back_up(memory_kit.stores["redis"], INCREMENTAL, directory.open(tmp_path, clock), [public], clock, generator)
