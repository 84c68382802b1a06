"""How the deletion of a namespace is undone: from a copy that is kept apart from the journal, and only where no recovery has brought it back.

What a cluster does with it is in test_kubernetes_faults.py.
"""

import dataclasses
import stat

import pytest
from real_servers import CLOCK

from drplatform import environment
from drplatform.engine import faulting
from drplatform.faults import _aside, _backups
from drplatform.faults.namespace_deleted import NamespaceDeleted
from drplatform.model import errors, ports
from drplatform.model.timeline import Timeline
from drplatform.platforms.memory import MemoryPlatform

SECRET = b"correct horse battery staple"


class Spaces:
    """The namespaces of a cluster in memory: name -> identity and content."""

    marks_namespace = "shop"

    def __init__(self):
        self.held, self.made, self.refuses = {"shop": ("uid-0", SECRET), "other": ("uid-1", b"")}, 1, ()

    def identity(self):
        return "cluster-1"

    def namespaces(self):
        return {name: uid for name, (uid, _) in self.held.items()}

    def population(self):
        return len(self.held)

    def drop(self, namespace):
        del self.held[namespace]

    def copied(self, namespace):
        return self.held[namespace][1]

    def put_back(self, content):
        self.make("shop", b"a part of it" if self.refuses else content)
        return self.refuses

    def make(self, name, content):
        self.made += 1
        self.held[name] = (f"uid-{self.made}", content)


@pytest.fixture
def spaces():
    return Spaces()


@pytest.fixture
def scene(spaces, tmp_path):
    platform = MemoryPlatform(tmp_path / "platform")
    platform.directory.mkdir()
    return ports.Scene(platform, {"kubernetes": spaces}, CLOCK)


@pytest.fixture
def journal(tmp_path):
    return tmp_path / "faults.jsonl"


def inflict(scene, journal, fault=None):
    return faulting.Faulting(scene, journal, CLOCK, Timeline(CLOCK)).inflict(fault or NamespaceDeleted())


def heal(scene, journal):
    return [entry.kind for entry in faulting.replay(journal, scene, environment.fault)]


def aside(scene):
    return sorted(p.name for p in _aside.place(scene).iterdir())


def test_a_deleted_namespace_is_put_back_by_another_process_and_the_copy_goes(scene, spaces, journal):
    assert inflict(scene, journal).receipt.targets == ("shop",)
    assert "shop" not in spaces.held and "other" in spaces.held
    assert heal(scene, journal) == ["namespace-deleted"]
    assert spaces.held["shop"] == ("uid-2", SECRET)
    assert aside(scene) == [] and not heal(scene, journal)


def test_the_copy_is_its_owners_alone_and_the_journal_holds_nothing_of_it(scene, journal):
    inflict(scene, journal)
    (kept,) = _aside.place(scene).iterdir()
    assert kept.read_bytes() == SECRET
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600 and stat.S_IMODE(kept.parent.stat().st_mode) == 0o700
    assert SECRET not in journal.read_bytes()


def test_what_a_recovery_has_brought_back_is_left_as_it_is(scene, spaces, journal):
    """To complete it would hide what the recovery has not brought back."""
    inflict(scene, journal)
    spaces.make("shop", b"a half")
    heal(scene, journal)
    assert spaces.held["shop"] == ("uid-2", b"a half")
    assert aside(scene) == []


def test_who_was_killed_while_putting_back_is_not_taken_for_a_recovery(scene, spaces, journal, monkeypatch):
    inflict(scene, journal)
    put_back = spaces.put_back

    def killed(content):
        put_back(b"a half")
        raise KeyboardInterrupt

    monkeypatch.setattr(spaces, "put_back", killed)
    with pytest.raises(KeyboardInterrupt):
        heal(scene, journal)
    (entry,) = faulting.pending(journal)
    assert not NamespaceDeleted().healed(scene, entry.before)
    monkeypatch.undo()
    heal(scene, journal)
    assert spaces.held["shop"][1] == SECRET


def test_what_the_cluster_refuses_is_told_and_stays_to_be_healed(scene, spaces, journal):
    inflict(scene, journal)
    spaces.refuses = ("Deployment shop/web: no",)
    with pytest.raises(errors.StoreError, match="Deployment shop/web: no"):
        heal(scene, journal)
    spaces.refuses = ()
    assert heal(scene, journal) == ["namespace-deleted"]
    assert spaces.held["shop"][1] == SECRET


def test_nothing_is_put_into_another_cluster(scene, spaces, journal, monkeypatch):
    inflict(scene, journal)
    monkeypatch.setattr(spaces, "identity", lambda: "cluster-2")
    with pytest.raises(errors.StoreError, match="another cluster"):
        heal(scene, journal)
    assert "shop" not in spaces.held


def test_without_the_cluster_it_cannot_be_healed_and_the_error_says_what_to_name(scene, journal):
    inflict(scene, journal)
    with pytest.raises(errors.StoreError, match="DRPLATFORM_KUBECONFIG"):
        heal(dataclasses.replace(scene, stores={}), journal)
    assert faulting.pending(journal)


def test_sabotaged_it_is_inconclusive_and_nothing_is_changed(scene, spaces, journal, monkeypatch):
    monkeypatch.setattr(faulting, "SECONDS_TO_CONFIRM", 0.05)
    monkeypatch.setattr(spaces, "drop", lambda namespace: None)
    faults = faulting.Faulting(scene, journal, CLOCK, Timeline(CLOCK))
    with faults, pytest.raises(errors.FaultNotConfirmed, match="still the same namespace"):
        faults.inflict(NamespaceDeleted())
    assert spaces.held["shop"] == ("uid-0", SECRET) and aside(scene) == []


def test_which_namespace_has_to_be_said_and_to_exist(scene, spaces, monkeypatch):
    with pytest.raises(errors.Inconclusive, match="no namespace gone"):
        NamespaceDeleted(namespace="gone").capture(scene)
    monkeypatch.setattr(spaces, "marks_namespace", "")
    with pytest.raises(errors.SettingsError, match="namespace=NAME"):
        NamespaceDeleted().aim(scene)
    assert NamespaceDeleted(namespace="other").aim(scene).share == 0.5


def test_a_backup_whose_copy_is_gone_is_left_as_it_is(scene):
    """Planted: what was kept aside is not there any more; to delete the object instead would be worse than the fault."""
    vault = {"key": b"hurt"}
    repository = type("Vault", (), {"get": lambda self, key: vault[key], "delete": lambda self, key: vault.pop(key)})()
    with pytest.raises(errors.StoreError, match="kept no more"):
        _backups.OnBackup().heal(dataclasses.replace(scene, repository=repository), {"objects": {"key": _aside.digest(b"well")}})
    assert vault == {"key": b"hurt"}


def test_its_share_is_of_all_namespaces_of_the_cluster(scene, spaces, monkeypatch):
    """The store is made for the one that was named; that it were all there is would refuse it by any limit."""
    monkeypatch.setattr(spaces, "namespaces", lambda: {"shop": "uid-0"})
    assert NamespaceDeleted().aim(scene).share == 0.5
