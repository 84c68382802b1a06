"""The key of the backups is lost: enough holders bring it back, and what would make its loss harmless, or final, is found."""

import dataclasses

import pytest

from drplatform.engine import backups, lost_key
from drplatform.engine.backups import escrow
from drplatform.engine.kit import Keys
from drplatform.model import errors
from drplatform.model.backup import BackupKind


@pytest.fixture
def kit(memory_kit):
    recipient, identity = backups.generate()
    made = dataclasses.replace(memory_kit, keys=Keys((recipient,), (identity,)))
    made.stores["mongodb"].seed(1, 5)
    backups.back_up(made.stores["mongodb"], BackupKind.FULL, made.repository, made.keys.recipients, made.clock, made.random)
    return made


def test_enough_holders_bring_back_the_very_key(kit):
    found = lost_key.brought_back(kit, ["mongodb"], 3, 5)
    assert [i.reveal().strip() for i in found.identities] == [i.reveal().strip() for i in kit.keys.identities]


def test_a_key_that_does_not_open_the_backups_is_found(kit):
    other = dataclasses.replace(kit, keys=Keys(kit.keys.recipients, (backups.generate()[1],)))
    with pytest.raises((errors.IntegrityError, errors.KeyUnavailable)):
        lost_key.brought_back(other, ["mongodb"], 2, 3)


def test_backups_that_open_with_any_key_are_found(kit, monkeypatch):
    monkeypatch.setattr(backups, "generate", lambda: (kit.keys.recipients[0], kit.keys.identities[0]))  # "some other key" is the right one
    with pytest.raises(errors.VerificationFailed, match="opens without its key"):
        lost_key.brought_back(kit, ["mongodb"], 2, 3)


def test_an_escrow_that_fewer_holders_open_is_found(kit, monkeypatch):
    monkeypatch.setattr(escrow, "join", lambda shares: kit.keys.identities[0])
    with pytest.raises(errors.VerificationFailed, match="2 holders recovered the key"):
        lost_key.brought_back(kit, ["mongodb"], 3, 5)
