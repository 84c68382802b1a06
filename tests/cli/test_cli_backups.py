"""Backups by the command line, end to end: a platform brought up by hand, backed up, lost, brought up anew and restored."""

import json

import cli_shell
import pytest

STORES = ("mongodb", "redis", "files")


@pytest.fixture(scope="module")
def shell(tmp_path_factory):
    with cli_shell.opened(tmp_path_factory.mktemp("home")) as made:
        yield made


@pytest.fixture(scope="module")
def content(shell):
    """A platform that is up and holds something: the digests of its stores. Every store is backed up."""
    (platform,) = json.loads(shell("platform", "up", "--json"))
    assert {"mongodb", "redis", "files", "vault"} == set(platform["endpoints"]) and all(s["running"] for s in platform["servers"])
    for store in shell.stores().values():
        store.seed(7, 20)
    assert "There are no backups yet" in shell.backups("list")
    for store in STORES:
        assert "consistent as of" in shell.backups("take", store, "snapshot" if store == "redis" else "full")
    return shell.digests()


def test_backups_are_listed_and_shown(shell, content):
    listed = json.loads(shell.backups("list", "--json"))
    assert [b["store"] for b in listed["backups"]] == list(STORES) and listed["problems"] == []
    lines = shell.backups("list").splitlines()
    assert len(lines) == 3
    for brief, line in zip(listed["backups"], lines, strict=True):
        assert line.startswith(brief["id"])
        manifest = json.loads(shell.backups("show", brief["id"][:-3]))
        assert manifest["id"] == brief["id"] and len(manifest["chunks"]) == brief["chunks"] > 0


def test_whole_backups_verify_with_and_without_the_key(shell, content):
    assert shell.backups("verify", "--all").count("opened with the key") == 3
    identity = shell.home / "state/keys/identity.txt"
    aside = identity.rename(identity.with_name("aside"))
    try:
        assert shell.backups("verify", "--all").count("no private key was given") == 3
        assert "--identity" in shell.backups("restore", "mongodb", "--yes", code=2)
    finally:
        aside.rename(identity)


def test_the_vault_of_the_platform_is_used_where_no_directory_is_named(shell, content):
    taken = shell("backups", "take", "mongodb").split()[0]
    assert shell("backups", "list").startswith(taken)
    assert "whole" in shell("backups", "verify", taken)


def test_a_recipient_can_be_named_and_then_only_its_key_opens(shell, content):
    public = shell("keys", "generate", "--file", shell.home / "another").split()[2]
    vault = shell.home / "another-vault"
    shell("backups", "take", "redis", "snapshot", "--recipient", public, "--repository", vault)
    assert "private key" in shell("backups", "verify", "--all", "--repository", vault, code=2)
    assert "opened with the key" in shell("backups", "verify", "--all", "--repository", vault, "--identity", shell.home / "another")
    shell("backups", "take", "redis", "--recipient", "age1nonsense", "--repository", vault, code=2)


def test_occupied_targets_are_refused_and_nothing_is_touched(shell, content):
    for store in STORES:
        told = shell.backups("restore", store, "--yes", code=2)
        assert "is not empty" in told and "Nothing was touched" in told
    assert shell.digests() == content
    assert "There is no backup of 'moon'" in shell.backups("restore", "moon", "--yes", code=2)
    assert "There is no store 'moon'" in shell.backups("take", "moon", code=2)


def test_a_damaged_backup_is_named_and_never_restored(shell, content):
    chunk = next(p for p in shell.objects() if "mongodb" in str(p) and "chunks" in str(p))
    whole = chunk.read_bytes()
    chunk.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    told = shell.backups("verify", "--all", code=1)
    assert told.count("DAMAGED") == 1 and chunk.name in told
    chunk.write_bytes(whole)
    manifest = next(p for p in shell.objects() if "redis" in str(p) and p.name == "manifest.json")
    whole = manifest.read_bytes()
    manifest.write_bytes(whole[:50])
    assert str(manifest.relative_to(shell.vault)) in shell.backups("list", code=1)
    manifest.write_bytes(whole)
    assert shell.backups("verify", "--all").count("whole") == 3


def test_a_lost_platform_comes_back_from_its_backups(shell, content):
    (lost,) = json.loads(shell("platform", "status", "--json"))
    assert lost["id"] in shell("platform", "down")
    assert "drplatform platform up" in shell.backups("restore", "mongodb", "--yes", code=2)
    shell("platform", "up")
    damage_first_chunk_of(shell, "mongodb")
    assert shell.digests() != content
    asked = shell.backups("restore", "files", code=2)
    assert "[y/N]" in asked and "Nobody agreed, so nothing was changed" in asked
    for store in STORES:
        assert f"{store} is restored to" in shell.backups("restore", store, "--yes")
    assert shell.digests() == content
    assert "The audit log is whole" in shell("evidence", "verify")
    kinds = [json.loads(line)["kind"] for line in (shell.home / "state/audit.jsonl").read_text().splitlines()]
    assert kinds.count("restore done") == 3 and "restore failed" in kinds and kinds.count("backup done") == 5


def damage_first_chunk_of(shell, store):
    """A restore of a damaged backup loads nothing, so that the target is as empty as before."""
    chunk = next(p for p in shell.objects() if store in str(p) and "chunks" in str(p))
    whole = chunk.read_bytes()
    chunk.write_bytes(bytes(len(whole)))
    told = shell.backups("restore", store, "--yes", code=1)
    assert "nothing was loaded" in told
    assert shell.stores()[store].occupants() == ()
    chunk.write_bytes(whole)
