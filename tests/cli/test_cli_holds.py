"""Holds outlive the command that placed them, and every prune sees them."""

from datetime import timedelta

import backup_keys_cases as cases
import pytest

from drplatform.engine.backups import holds, pruning
from drplatform.environment import load_policy
from drplatform.model import errors, retention


@pytest.fixture
def vault(home, clock):
    return cases.filled(home.directory / "vault", clock)


def test_a_hold_is_placed_listed_and_released(home, vault):
    backup, where = vault.manifest.id, ("--repository", vault.place)
    assert home("backups", "hold", backup[:12], "--why", "case 4711", *where).code == 0
    assert home("backups", "hold", backup, "--why", "again", *where).code == 2
    listed = home("backups", "holds", *where).out
    assert backup in listed and "case 4711" in listed
    assert f"{backup}  stays: held" in home("backups", "prune", "--dry-run", *where).out
    assert home("backups", "release", backup, "--yes", *where).code == 0
    assert home("backups", "release", backup, "--yes", *where).code == 2
    assert "Nothing is held" in home("backups", "holds", *where).out
    assert f"{backup}  stays: held" not in home("backups", "prune", "--dry-run", *where).out
    log = (home.state / "audit.jsonl").read_text()
    assert '"hold done"' in log and '"release of a hold done"' in log


def test_a_hold_that_is_unreadable_holds(vault):
    vault.repository.put(holds.PREFIX + vault.manifest.id, b"rubbish")
    assert holds.held(vault.repository) == {vault.manifest.id}
    assert holds.reason(vault.repository, vault.manifest.id) == {}
    kept = retention.prune([vault.manifest], load_policy(None), vault.manifest.finished + timedelta(days=999), holds.held(vault.repository))
    assert kept.delete == ()


def test_a_hold_placed_while_a_prune_runs_stops_it(vault, clock):
    plan = retention.Pruning((vault.manifest,), {}, {})
    known = holds.held(vault.repository)
    holds.place(vault.repository, vault.manifest.id, "somebody", "just now", clock.utc())
    with pytest.raises(errors.Inconclusive, match="prune again"):
        pruning.apply(plan, vault.repository, held=known)
    assert vault.repository.get(f"memory/full/{vault.manifest.id}/manifest.json")
    pruning.apply(plan, vault.repository, held=holds.held(vault.repository))  # planted: with the hold known to the plan it goes on
    with pytest.raises(errors.ObjectMissing):
        vault.repository.get(f"memory/full/{vault.manifest.id}/manifest.json")
