"""Secrets with recipients of their own: who can open the backups verifies them and reads the rest, and only who holds the other key too reads them."""

import dataclasses
import random

import pytest

from drplatform.engine import backups
from drplatform.engine.backups import reading, rotation, second_seal
from drplatform.model import errors
from drplatform.model.backup import BackupKind, Chain, Manifest
from drplatform.model.ports import Endpoint
from drplatform.repositories.memory import MemoryRepository
from drplatform.stores import configuration
from drplatform.stores.configuration import tree
from drplatform.stores.configuration.entry import Tally

CANARY = b"canary-second-seal/5d02"
PUBLIC, IDENTITY = backups.generate()
SECRET_PUBLIC, SECRET_IDENTITY = backups.generate()
OPERATOR, BOTH = backups.Opener([IDENTITY]), backups.Opener([IDENTITY, SECRET_IDENTITY])


def store(directory, clock):
    return configuration.connect(Endpoint("configuration", options={"directory": str(directory)}), clock)


@pytest.fixture
def live(tmp_path, clock):
    for name, content in {"manifests/api.yaml": b"a: 1\n", "environment/live.env": b"A=1\n", "secrets/key": CANARY}.items():
        (tmp_path / "live" / name).parent.mkdir(parents=True)
        (tmp_path / "live" / name).write_bytes(content)
    return store(tmp_path / "live", clock)


@pytest.fixture
def vault():
    return MemoryRepository()


def take(live, vault, clock, secret_recipients=(SECRET_PUBLIC,)):
    return backups.back_up(live, BackupKind.FULL, vault, [PUBLIC], clock, random.Random(), secret_recipients=secret_recipients)


def restored(tmp_path, vault, clock, manifest, opener):
    (tmp_path / "target").mkdir(exist_ok=True)
    target = store(tmp_path / "target", clock)
    backups.restore(Chain(manifest), target, vault, opener, backups.Lease("configuration", target.identity()), clock)
    return target.digest()


def shown(manifest, vault, opener):
    """All that a key shows by itself, beneath the first seal."""
    return b"".join(opener.open(manifest, ref, vault.get(ref.key)) for ref in manifest.chunks)


def test_who_has_the_key_of_the_backups_verifies_all_and_reads_all_but_secrets(tmp_path, live, vault, clock):
    manifest = take(live, vault, clock)
    assert manifest.secrets.parts == ("secrets/files",) and manifest.secrets.recipients == (SECRET_PUBLIC,)
    assert Manifest.from_json(manifest.to_json()) == manifest
    outcome = backups.verify(manifest, vault, OPERATOR)
    assert outcome.whole and outcome.opened
    assert CANARY not in shown(manifest, vault, OPERATOR)
    plain = take(live, vault, clock, ())
    assert plain.secrets is None and CANARY in shown(plain, vault, OPERATOR), "planted: without the second seal it is seen"
    parts = dict(reading.parts(manifest, vault, OPERATOR))
    assert b"a: 1" in b"".join(parts["manifests/files"])
    with pytest.raises(errors.KeyUnavailable, match=f"opens the secrets of backup {manifest.id}; they were sealed for {SECRET_PUBLIC}"):
        list(parts["secrets/files"])


def test_without_the_other_key_nothing_is_restored_and_with_it_everything(tmp_path, live, vault, clock):
    manifest = take(live, vault, clock)
    with pytest.raises(errors.KeyUnavailable, match="the secrets of backup"):
        restored(tmp_path, vault, clock, manifest, OPERATOR)
    assert not store(tmp_path / "target", clock).occupants()
    back = restored(tmp_path, vault, clock, manifest, BOTH)
    assert back == live.digest() and backups.differing(BOTH, manifest, back) == []
    with pytest.raises(errors.KeyUnavailable):
        backups.verify(manifest, vault, backups.Opener([SECRET_IDENTITY]))


def guessed(manifest, live, key):
    """The passwords of a list with which the digest of the secrets in the manifest is reproduced, as whoever read it would try; `key`: theirs."""
    (entry,) = (e for e in tree.entries(live.endpoint.options["directory"], "secrets") if e.kind == "file")
    found = []
    for guess in (b"0000", CANARY, b"1234"):
        tally = Tally()
        for one in tree.entries(live.endpoint.options["directory"], "secrets"):
            tally.add(dataclasses.replace(entry, content=guess) if one == entry else one)
        digest = tally.digests()["secrets"]
        noted = manifest.digests["secrets"].value
        if noted in (digest.value, *((key.keyed("secrets", digest).value,) if key else ())):
            found.append(guess)
    return found


def test_from_the_digests_in_a_manifest_no_secret_can_be_guessed_without_its_key(live, vault, clock):
    manifest = take(live, vault, clock)
    (backup_key,), (secret_key,) = manifest.keys, manifest.secrets.keys
    assert guessed(manifest, live, BOTH.key(second_seal.turned(manifest), secret_key)) == [CANARY], "planted: with the key it is"
    assert guessed(manifest, live, OPERATOR.key(manifest, backup_key)) == []
    assert guessed(manifest, live, None) == []
    alone = take(live, vault, clock, ())
    (backup_key,) = alone.keys
    assert guessed(alone, live, OPERATOR.key(alone, backup_key)) == [CANARY] and guessed(alone, live, None) == []
    before = dataclasses.replace(alone, digests=live.digest())
    assert guessed(before, live, None) == [CANARY], "planted: from a plain digest it can"
    assert backups.differing(OPERATOR, before, live.digest()) == [], "a backup of an earlier version is still compared"
    assert Manifest.from_json(before.to_json()) == before and Manifest.from_json(alone.to_json()) == alone


def test_every_changed_digest_is_found(live, vault, clock):
    for manifest, opener in ((take(live, vault, clock), BOTH), (take(live, vault, clock, ()), OPERATOR)):
        found = live.digest()
        assert backups.differing(opener, manifest, found) == []
        for name, digest in found.items():
            flipped = dataclasses.replace(digest, value=f"{int(digest.value, 16) ^ 1:064x}")
            for other in (flipped, dataclasses.replace(digest, items=digest.items + 1), None):
                assert backups.differing(opener, manifest, {**found, name: other}) == [name]
        one, another = (found[name] for name in ("manifests", "secrets"))
        assert backups.differing(opener, manifest, {**found, "manifests": another, "secrets": one}) == ["manifests", "secrets"]


class Holder(backups.Opener):
    """Whoever has the key of the backups may put anything beneath the first seal."""

    def __init__(self, beneath):
        super().__init__([IDENTITY, SECRET_IDENTITY])
        self.beneath = beneath

    def open(self, manifest, ref, stored):
        return self.beneath


def test_a_secret_that_was_changed_or_moved_beneath_the_first_seal_does_not_open(live, vault, clock):
    manifest = take(live, vault, clock)
    (ref,) = (ref for ref in manifest.chunks if ref.part == "secrets/files")
    genuine = BOTH.open(manifest, ref, vault.get(ref.key))
    assert CANARY in second_seal.read(Holder(genuine), manifest, ref, b"")
    other = second_seal.seal(backups.DataKey.make([SECRET_PUBLIC]), b"x", manifest.id, ref.part, ref.number)
    changed = [other, b"", b"\xff" * 40, genuine[:-1], bytes([*genuine[:7], genuine[7] ^ 1, *genuine[8:]])]
    moved = dataclasses.replace(ref, number=ref.number + 1)
    for at, beneath in [*((ref, each) for each in changed), (moved, genuine)]:
        with pytest.raises(errors.IntegrityError, match="secret part secrets/files"):
            second_seal.read(Holder(beneath), manifest, at, b"")


def test_keys_of_secrets_are_wrapped_anew_apart_from_the_others(tmp_path, live, vault, clock):
    manifest = take(live, vault, clock)
    public, identity = backups.generate()
    ring = backups.Ring([identity], vault)
    assert rotation.rewrap([manifest], vault, BOTH, [public], clock, random.Random(1)) == 1
    assert backups.verify(manifest, vault, ring).whole
    assert "the secrets of backup" in rotation.check([manifest], ring)[0].problem, "who may open backups does not get the secrets by it"
    with pytest.raises(errors.KeyUnavailable):
        rotation.rewrap([manifest], vault, OPERATOR, [public], clock, random.Random(2), secrets=True)
    assert rotation.rewrap([manifest, take(live, vault, clock, ())], vault, BOTH, [public], clock, random.Random(3), secrets=True) == 1
    assert not rotation.check([manifest], backups.Ring([identity], vault))[0].problem
    assert restored(tmp_path, vault, clock, manifest, backups.Ring([identity], vault)) == live.digest()


def test_a_wrong_recipient_of_secrets_is_refused_before_anything_is_read(live, vault, clock):
    with pytest.raises(errors.SettingsError, match="no age recipient"):
        take(live, vault, clock, ("age1wrong",))
    assert not list(vault.list(""))
