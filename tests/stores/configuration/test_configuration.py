"""Configuration in a directory: what goes out comes back, nothing is written outside, and no secret is ever told or readable by others."""

import json
import os
import stat
import threading

import pytest
import yaml

from drplatform.model import errors
from drplatform.model.backup import BackupKind
from drplatform.model.ledger import Mark
from drplatform.model.ports import Endpoint
from drplatform.model.position import Position
from drplatform.stores import configuration
from drplatform.stores.configuration import entry as entries
from drplatform.stores.configuration import tree
from drplatform.stores.configuration.entry import Entry

CANARY = "canary-s3cr3t-4d1f"
POSITION = Position("source", (1,), 0.001)


@pytest.fixture
def pair(tmp_path, clock):
    for name in ("source", "target"):
        (tmp_path / name).mkdir()
    return tuple(_store(tmp_path / name, clock) for name in ("source", "target"))


def _store(directory, clock):
    return configuration.connect(Endpoint("configuration", options={"directory": str(directory)}), clock)


def take(store, after=lambda name: None):
    with store.dump() as dump:
        parts = []
        for part in dump.parts():
            parts.append((part.name, list(part.blocks())))
            after(part.name)
        return parts, dump.finish()


def bring_back(store, parts):
    with store.restore() as target:
        for name, blocks in parts:
            target.load(BackupKind.FULL, name, iter(blocks))
        target.loaded()
        return target.finish()


def attack(*found, part="manifests/files"):
    return [(part, list(entries.blocks(POSITION, found)))]


def looks(root):
    """What is in a directory: path -> mode and content, or target."""
    found = {}
    for path in sorted(root.rglob("*")):
        if path.name == tree.IDENTITY:
            continue
        seen = path.lstat()
        content = str(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else None
        found[str(path.relative_to(root))] = (None if path.is_symlink() else stat.S_IMODE(seen.st_mode), stat.S_IFMT(seen.st_mode), content)
    return found


def test_reference_content_comes_back_equal(pair, tmp_path):
    source, target = pair
    assert source.occupants() == ()
    source.seed(4, 45)
    parts, end = take(source)
    assert [name for name, _ in parts] == ["manifests/files", "environment/files", "secrets/files", "other/files"]
    restored = bring_back(target, parts)
    assert restored.digests == end.digests == source.digest() == target.digest()
    assert restored.reached == end.end
    assert restored.refused == ()
    assert looks(tmp_path / "source") == looks(tmp_path / "target")
    assert target.occupants() == source.occupants() != ()
    assert source.identity() != target.identity()


def test_reference_content_is_realistic_and_the_same_for_the_same_seed(pair, tmp_path):
    one, other = pair
    one.seed(4, 45)
    other.seed(4, 45)
    assert looks(tmp_path / "source") == looks(tmp_path / "target")
    documents = [yaml.safe_load(path.read_text()) for path in (tmp_path / "source/manifests").rglob("*.yaml")]
    assert len(documents) >= 30
    assert {"Deployment", "Service", "ConfigMap", "CustomResourceDefinition", "CronJob"} <= {d["kind"] for d in documents}
    assert all(d["apiVersion"] and d["metadata"]["name"] for d in documents)
    assert all(path.stat().st_mode & 0o077 == 0 for path in (tmp_path / "source/secrets").rglob("*"))


def test_odd_things_come_back(pair, tmp_path):
    source, target = pair
    root = tmp_path / "source"
    (root / "environment/empty/deep").mkdir(parents=True)
    (root / "environment/zero.env").touch()
    (root / "environment/ü \n\t'x\".env").write_text("A=1")
    (root / os.fsdecode(b"environment/latin-\xe9.env")).write_bytes(b"\xff\0")
    (root / "environment/script.sh").write_text("#!/bin/sh")
    (root / "environment/script.sh").chmod(0o755)
    (root / "environment/gone").symlink_to("nowhere")
    (root / "environment/outside").symlink_to("/etc")
    (root / "notes.txt").write_text("kept too")
    (root / "other").mkdir(mode=0o700)
    (root / "manifests").mkdir()
    (root / "manifests/big.yaml").write_bytes(b"x" * (9 * 2**20))
    (root / "manifests/locked").mkdir()
    (root / "manifests/locked/x.yaml").write_text("a: 1")
    (root / "manifests/locked").chmod(0o555)
    parts, end = take(source)
    assert end.digests["other"].items == 2
    bring_back(target, parts)
    assert looks(root) == looks(tmp_path / "target")
    assert str((tmp_path / "target/environment/outside").readlink()) == "/etc"


def test_empty_directory_comes_back_empty(pair, tmp_path):
    source, target = pair
    parts, end = take(source)
    assert end.digests == {}
    assert bring_back(target, parts).counts == {"bytes": 0}
    assert looks(tmp_path / "target") == {}


def test_secrets_are_in_parts_of_their_own_and_never_told(pair, tmp_path):
    source, _ = pair
    source.seed(4, 12)
    for name, mode in (("a.env", 0o644), ("b.key", 0o666)):
        (tmp_path / "source/secrets" / name).write_text(CANARY)
        (tmp_path / "source/secrets" / name).chmod(mode)
    parts, end = take(source)
    holding = [name for name, blocks in parts if CANARY.encode() in b"".join(blocks)]
    assert holding == ["secrets/files"], "the canary must be found where it belongs, and only there"
    told = [
        repr(end),
        repr(source),
        repr(source.endpoint),
        source.version(),
        *source.occupants(),
        repr(list(tree.entries(tmp_path / "source", "secrets"))),
    ]
    assert CANARY not in "".join(told)


@pytest.mark.parametrize("damage", ["flip", "cut", "head", "length"])
def test_damaged_secrets_are_refused_without_telling_them(pair, tmp_path, damage):
    source, target = pair
    (tmp_path / "source/secrets").mkdir()
    (tmp_path / "source/secrets/a.env").write_text(CANARY * 3)
    parts, _ = take(source)
    ((name, (block,)),) = [part for part in parts if part[0] == "secrets/files"]
    at = block.index(CANARY.encode())
    bad = {
        "flip": block[: at + 45] + b"!" + block[at + 46 :],
        "cut": block[: at + 20],
        "head": b"\0\0\0\2[]" + block,
        "length": block.replace(b'"size": 54', b'"size": 20'),
    }[damage]
    assert bad != block
    with pytest.raises(errors.IntegrityError) as refusal:
        bring_back(target, [(name, [bad])])
    seen, chain = "", refusal.value
    while chain is not None:
        seen, chain = seen + f"{chain!r} {vars(chain)!r}", chain.__cause__
    assert CANARY[:8] not in seen
    assert not (tmp_path / "target/secrets/a.env").exists()


def test_restored_secrets_are_never_readable_by_others(pair, tmp_path):
    """Also under a lax umask, while being written, and when the backup says otherwise."""
    _, target = pair
    found = [Entry("secrets", "directory", 0o755)]
    found += [Entry(f"secrets/{n}.env", "file", 0o666, content=bytes(200_000)) for n in range(60)]
    seen, done = set(), threading.Event()

    def watch():
        while not done.is_set():
            for path in (tmp_path / "target").glob("secrets/**/*"):
                try:
                    seen.add((path.name.startswith(".drplatform-new-"), stat.S_IMODE(path.stat().st_mode)))
                except FileNotFoundError:
                    pass

    watcher = threading.Thread(target=watch)
    before = os.umask(0)
    try:
        watcher.start()
        with pytest.raises(errors.VerificationFailed):  # what came back is not what the backup says: it is safer
            bring_back(target, attack(*found, part="secrets/files"))
    finally:
        done.set()
        watcher.join()
        os.umask(before)
    assert {mode for _, mode in seen} == {0o600}
    assert (tmp_path / "target/secrets").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    "path",
    ["../x", "manifests/../../x", "/etc/x", "manifests//x", "manifests/./x", "manifests/", "", ".", "manifests/a\0b", "manifests/\ud800",
     tree.IDENTITY, "manifests/.drplatform-new-x/y"],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["file", "link", "directory"])
def test_path_that_leads_outside_is_refused(pair, tmp_path, path, kind):
    _, target = pair
    identity = target.identity()
    part = f"{entries.section(path)}/files"
    with pytest.raises(errors.IntegrityError):
        bring_back(target, attack(Entry(path, kind, 0o644, target="/etc", content=b"x" if kind == "file" else b""), part=part))
    assert sorted(found.name for found in tmp_path.iterdir()) == ["source", "target"]
    assert looks(tmp_path / "target") == {}
    assert target.identity() == identity


@pytest.mark.parametrize("first", [True, False], ids=["link first", "file first"])
def test_file_is_never_written_through_a_link_of_the_backup(pair, tmp_path, first):
    _, target = pair
    outside = tmp_path / "source"
    link = Entry("manifests/way", "link", target=str(outside))
    file = Entry("manifests/way/x.yaml", "file", 0o644, content=b"x")
    with pytest.raises((errors.IntegrityError, errors.StoreError)):
        bring_back(target, attack(*((link, file) if first else (file, link))))
    assert not list(outside.iterdir())


def test_file_is_never_written_through_a_link_in_the_target(pair, tmp_path):
    _, target = pair
    outside = tmp_path / "source"
    (tmp_path / "target/manifests").symlink_to(outside)
    with pytest.raises(errors.IntegrityError, match="through a link"):
        bring_back(target, attack(Entry("manifests/x.yaml", "file", 0o644, content=b"x")))
    assert not list(outside.iterdir())


def test_link_to_the_outside_is_never_followed_by_a_dump(pair, tmp_path):
    source, _ = pair
    (tmp_path / "private").mkdir()
    (tmp_path / "private/x").write_text(CANARY)
    (tmp_path / "source/secrets").symlink_to(tmp_path / "private")
    (tmp_path / "source/file").symlink_to(tmp_path / "private/x")
    parts, end = take(source)
    assert CANARY.encode() not in b"".join(block for _, blocks in parts for block in blocks)
    assert (end.counts["secrets"], end.counts["other"]) == (1, 1)


def test_section_that_smuggles_into_another_is_refused(pair):
    _, target = pair
    with pytest.raises(errors.IntegrityError, match="another section"):
        bring_back(target, attack(Entry("secrets/x", "file", 0o644), part="manifests/files"))


def test_unknown_kinds_and_special_files_are_refused(pair, tmp_path):
    source, target = pair
    with pytest.raises(errors.IntegrityError, match="unknown kind"):
        bring_back(target, attack(Entry("manifests/x", "device", 0o644)))
    os.mkfifo(tmp_path / "source/pipe")
    with pytest.raises(errors.StoreError, match="neither file"):
        take(source)


def test_set_user_id_is_not_restored(pair, tmp_path):
    _, target = pair
    directory = Entry("manifests", "directory", 0o755)
    bring_back(target, attack(directory, Entry("manifests/x", "file", 0o755)))
    with pytest.raises(errors.VerificationFailed):
        bring_back(target, attack(directory, Entry("manifests/x", "file", 0o6755)))
    assert (tmp_path / "target/manifests/x").stat().st_mode & 0o7000 == 0


def test_files_that_come_and_go_during_the_dump(pair, tmp_path):
    source, target = pair
    source.seed(4, 30)
    environment = tmp_path / "source/environment"

    def disturb(part):
        if part == "manifests/files":
            (environment / "004-production.env").unlink()
            (environment / "new.env").write_text("A=1")

    parts, end = take(source, disturb)
    bring_back(target, parts)
    assert end.digests == source.digest() == target.digest()


def test_difference_after_the_restore_is_named(pair, tmp_path):
    source, target = pair
    source.seed(4, 12)
    parts, _ = take(source)
    with target.restore() as restore:
        for name, blocks in parts:
            restore.load(BackupKind.FULL, name, iter(blocks))
        restore.loaded()
        (tmp_path / "target/environment/foreign").write_text("x")
        with pytest.raises(errors.VerificationFailed, match="environment"):
            restore.finish()


def test_backup_of_another_format_is_refused(pair):
    _, target = pair
    head = json.dumps({"format": 2, "position": POSITION.to_json()}).encode()
    for block in (len(head).to_bytes(4) + head, b"", b"\0\0\0\2{}", b"\0\0\0\x0e" + b'{"format": 1 }'):
        with pytest.raises(errors.IntegrityError):
            bring_back(target, [("manifests/files", [block])])


def test_the_ledger_does_not_write_configuration(pair):
    source, _ = pair
    with pytest.raises(errors.StoreError, match="does not write configuration"):
        source.marker("client")
    with pytest.raises(errors.StoreError):
        source.prober(Mark("a", 1, "x"), b"x")
    assert list(source.marks()) == []


def test_missing_directory_and_missing_option(tmp_path, clock):
    with pytest.raises(errors.SettingsError):
        configuration.connect(Endpoint("configuration"), clock)
    store = _store(tmp_path / "missing", clock)
    for act in (store.identity, store.position, store.occupants, store.digest):
        with pytest.raises(errors.StoreError):
            act()


def test_identity_is_one_although_many_ask_at_once(pair):
    source, _ = pair
    found = []
    threads = [threading.Thread(target=lambda: found.append(source.identity())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1
    assert source.position().timeline == found[0]
    assert source.occupants() == ()
