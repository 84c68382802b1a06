"""A backup of a later release of the server is refused before anything is loaded, and not halfway by what the server does not know."""

import random

import mongodb_cases as cases
import pytest

from drplatform.engine import backups
from drplatform.model import errors
from drplatform.model.backup import BackupKind, Chain
from drplatform.repositories import directory
from drplatform.stores.mongodb import MongoStore

PUBLIC, SECRET = backups.generate()


@pytest.fixture
def chain_of(pair, tmp_path, clock, monkeypatch):
    """A chain of a full backup and an increment, the latter of a server that says to have that version; with the repository it is in."""
    source, _ = pair
    repository = directory.open(tmp_path / "vault", clock)

    def take(kind):
        with cases.client(source.endpoint) as client:
            client.app.things.insert_one({"kind": kind.value})
        return backups.back_up(source, kind, repository, [PUBLIC], clock, random.Random())

    def made(version):
        full = take(BackupKind.FULL)
        with monkeypatch.context() as patched:
            patched.setattr(MongoStore, "version", lambda _: version)
            return repository, Chain(full, (take(BackupKind.INCREMENTAL),))

    return made


def restore(repository, chain, target, clock):
    lease = backups.Lease("mongodb", target.identity())
    return backups.restore(chain, target, repository, backups.Opener((SECRET,)), lease, clock)


def others(version, *changes):
    """Of a version `mongod 6.0.5` that with other numbers."""
    numbers = map(int, version.removeprefix("mongod ").split("."))
    return "mongod " + ".".join(str(number + change) for number, change in zip(numbers, changes, strict=True))


@pytest.mark.parametrize("changes", [(1, 0, 0), (0, 1, 0), (94, 0, -1)], ids=str)
def test_a_chain_in_which_the_server_was_upgraded_to_a_later_release_is_refused(pair, chain_of, clock, changes):
    _, target = pair
    later = others(target.version(), *changes)
    repository, chain = chain_of(later)
    assert chain.increments[0].versions["server"] == later
    with pytest.raises(errors.TargetRefused, match=f"{chain.increments[0].id} is of {later} and the target is {target.version()}"):
        restore(repository, chain, target, clock)
    assert target.occupants() == () and target.unfinished() == ""


@pytest.mark.parametrize("changes", [(0, 0, 90), (-1, 5, 0), (0, 0, 0)], ids=str)
def test_one_of_the_same_release_or_an_earlier_one_is_restored(pair, chain_of, clock, changes):
    source, target = pair
    repository, chain = chain_of(others(target.version(), *changes))
    restore(repository, chain, target, clock)
    assert cases.differences(cases.everything(source.endpoint), cases.everything(target.endpoint)) == []


def test_one_that_does_not_say_of_which_release_it_is_is_restored(pair, chain_of, clock):
    _, target = pair
    repository, chain = chain_of("a directory of mongodump")
    assert target.takes("")
    restore(repository, chain, target, clock)
    assert target.occupants() == ("app.things",)
