"""Keys: wrapped anew without touching a backup, shared among holders and recovered, checked, destroyed."""

import random

import backup_keys_cases as cases
import pytest

from drplatform.engine import backups
from drplatform.engine.backups import escrow, rotation
from drplatform.model import errors
from drplatform.model.secret import Secret


@pytest.fixture
def vault(home, clock):
    return cases.filled(home.directory / "vault", clock)


def generated(home, name):
    told = home("keys", "generate", "--file", home.directory / name)
    assert told.code == 0, told.err
    return told.out.split()[2]


def where(vault, identity):
    return "--repository", vault.place, "--identity", identity


def test_a_rotation_adds_a_key_and_changes_no_backup(home, vault, clock):
    old, new = vault.write_identity("old.txt"), home.directory / "new.txt"
    recipient = generated(home, "new.txt")
    before = vault.objects()
    assert home("keys", "check", *where(vault, new)).code == 1
    told = home("keys", "rotate", "--to", recipient, *where(vault, old))
    assert told.code == 0, told.err
    after = vault.objects()
    assert before.items() <= after.items() and all(key.startswith("keys/") for key in after.keys() - before.keys())
    for identity in (old, new):
        assert home("keys", "check", *where(vault, identity)).code == 0
        told = home("backups", "verify", "--all", *where(vault, identity))
        assert told.code == 0 and "opened with the key" in told.out, told.err


def test_rubbish_and_foreign_keys_beside_the_backups_open_nothing(vault, clock):
    public, identity = backups.generate()
    (key_id,) = vault.manifest.keys
    foreign = backups.DataKey.make([public])
    vault.repository.put(f"keys/{key_id}/1.json", b"rubbish")
    vault.repository.put(f"keys/{key_id}/2.json", cases.wrapped(foreign.wrapped))
    ring = backups.Ring([identity], vault.repository)
    with pytest.raises(errors.KeyUnavailable):
        ring.key(vault.manifest, key_id)
    rotation.rewrap([vault.manifest], vault.repository, vault.opener, [public], clock, random.Random(1))
    assert ring.key(vault.manifest, key_id).id == key_id
    assert backups.verify(vault.manifest, vault.repository, ring).whole


def test_the_lost_key_comes_back_from_enough_holders_and_opens_the_backups(home, vault):
    identity = vault.write_identity("identity.txt")
    shares = home.directory / "shares"
    told = home("keys", "escrow", "--identity", identity, "--to", shares)
    assert told.code == 0 and vault.secret not in told.out, told.err
    files = sorted(shares.iterdir())
    assert len(files) == 5 and all(f.stat().st_mode & 0o077 == 0 and vault.secret not in f.read_text() for f in files)
    identity.unlink()
    few = home("keys", "recover", *files[:2], "--file", identity)
    assert few.code != 0 and "too few" in few.err and not identity.exists()
    told = home("keys", "recover", files[4], files[0], files[2], "--file", identity)
    assert told.code == 0 and vault.secret not in told.out + told.err, told.err
    assert home("keys", "check", *where(vault, identity)).code == 0
    assert home("backups", "verify", "--all", *where(vault, identity)).code == 0


def test_a_misspelt_share_and_one_of_another_key_are_refused_without_being_shown():
    one, other = (escrow.split(backups.generate()[1], 2, 3) for _ in range(2))
    word = one[1].reveal().split()[-1]
    for wrong in (other[1], Secret(one[1].reveal().replace(word, "academic" if word != "academic" else "acid")), Secret("no share")):
        with pytest.raises(errors.KeyUnavailable) as told:
            escrow.join([one[0], wrong])
        assert one[0].reveal().split()[5] + " " + one[0].reveal().split()[6] not in str(told.value)


@pytest.mark.parametrize(("needed", "holders"), [(1, 3), (4, 3), (2, 17), (0, 0)])
def test_what_is_no_escrow_is_refused(needed, holders):
    with pytest.raises(errors.SettingsError, match="no escrow"):
        escrow.split(backups.generate()[1], needed, holders)


def test_a_key_is_destroyed_only_when_it_is_named(home, vault):
    identity = vault.write_identity("identity.txt")
    told = home("keys", "shred", identity, "--confirm", "age1wrong")
    assert told.code == 2 and identity.exists()
    assert home("keys", "shred", identity, "--confirm", vault.public).code == 0
    assert not identity.exists()
    generated(home, "another.txt")
    told = home("keys", "check", "--json", *where(vault, home.directory / "another.txt"))
    assert told.code == 1 and '"opens": false' in told.out
