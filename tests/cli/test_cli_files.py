"""File storage and Redis by the command line: increments, delta restores, comparisons, samples, and the files of a server."""

import json
import shutil

import cli_shell
import pytest
import real_servers

from drplatform.stores import redis as redis_stores


@pytest.fixture(scope="module")
def shell(tmp_path_factory):
    with cli_shell.opened(tmp_path_factory.mktemp("home")) as made:
        made("platform", "up")
        for name in ("files", "redis"):
            made.stores()[name].seed(7, 30)
        yield made


@pytest.fixture(scope="module")
def s3(shell):
    (platform,) = json.loads(shell("platform", "status", "--json"))
    assert platform
    return real_servers.s3_client(shell.stores()["files"].endpoint)


@pytest.fixture(scope="module")
def backed_up(shell):
    """The digest of the files when the full backup was taken."""
    digest = shell.stores()["files"].digest()
    shell.backups("take", "files")
    return digest


def files(shell, command, *arguments, code=0):
    return shell("files", command, *arguments, "--repository", shell.vault, code=code)


def objects_of(s3, bucket):
    return sorted(o["Key"] for o in s3.list_objects_v2(Bucket=bucket)["Contents"] if not o["Key"].startswith("."))


def damage(shell, s3) -> tuple[str, str, str]:
    """One object is gone, one was changed, one came: their keys."""
    bucket = shell.stores()["files"].buckets[0]
    gone, changed = [key for key in objects_of(s3, bucket) if "drplatform" not in key][:2]
    s3.delete_object(Bucket=bucket, Key=gone)
    s3.put_object(Bucket=bucket, Key=changed, Body=b"another content")
    s3.put_object(Bucket=bucket, Key="came/later", Body=b"new")
    return gone, changed, "came/later"


def test_what_differs_is_found_and_only_that_is_brought_back(shell, s3, backed_up):
    assert "0 differences" in files(shell, "compare")
    gone, changed, came = damage(shell, s3)
    told = files(shell, "compare", code=1)
    assert f"{gone} is not there" in told and f"{changed} has another content" in told and f"{came} is there" in told
    assert "3 differences" in told
    asked = files(shell, "restore", code=2)
    assert "[y/N]" in asked and "Nobody agreed, so nothing was changed" in asked
    assert "1 were written" in files(shell, "restore", "--object", gone, "--yes")
    assert "2 differences" in files(shell, "compare", code=1)
    assert "1 were written" in files(shell, "restore", "--yes")
    told = files(shell, "restore", "--delete", "--yes")
    assert "0 were written" in told and "1 deleted" in told
    assert shell.stores()["files"].digest() == backed_up
    assert "0 differences" in files(shell, "compare", "--sample", "10", "--seed", "5")


def test_a_sample_says_what_it_proves(shell, s3, backed_up):
    told = files(shell, "compare", "--sample", "20", "--seed", "5")
    assert "(seed 5)" in told and "with 95 % confidence" in told
    told = shell.backups("verify", "--all", "--sample", "1")
    assert "1 backup" not in told and "whole" in told


def test_wrong_choices_are_refused_before_anything_is_touched(shell, s3, backed_up):
    before = shell.stores()["files"].digest()
    assert "exclude each other" in files(shell, "restore", "--prefix", "a", "--object", "b", "--yes", code=2)
    assert "OLD=NEW" in files(shell, "restore", "--into", "uploads", "--yes", code=2)
    assert "no bucket elsewhere" in files(shell, "restore", "--into", "uploads=elsewhere", "--yes", code=2)
    assert "holds none of these" in files(shell, "restore", "--object", "no/such", "--yes", code=2)
    assert "exclude each other" in files(shell, "restore", "--object", "a", "--delete", "--yes", code=2)
    told = shell("files", "restore", "--store", "redis", "--repository", redis_vault(shell), "--yes", code=2)
    assert "is not file storage" in told
    assert shell.stores()["files"].digest() == before


def redis_vault(shell):
    vault = shell.home / "redis-vault"
    shell("backups", "take", "redis", "--repository", vault)
    return vault


def test_an_increment_continues_the_full_backup_and_needs_the_key(shell, s3, backed_up):
    damage(shell, s3)
    identity = shell.home / "state/keys/identity.txt"
    aside = identity.rename(identity.with_name("aside"))
    try:
        public = next(part for part in aside.read_text().split() if part.startswith("age1"))
        told = shell.backups("take", "files", "incremental", "--recipient", public, code=2)
        assert "--identity" in told
    finally:
        aside.rename(identity)
    before = shell.stores()["files"].digest()
    shell.backups("take", "files", "incremental")
    kinds = [b["kind"] for b in json.loads(shell.backups("list", "--json"))["backups"]]
    assert kinds == ["full", "incremental"]
    s3.delete_object(Bucket=shell.stores()["files"].buckets[0], Key="came/later")
    assert "1 were written" in files(shell, "restore", "--yes")
    assert shell.stores()["files"].digest() == before
    assert shell.backups("verify", "--all").count("whole") == 2


@pytest.mark.parametrize("single", [False, True], ids=["parts", "single file"])
def test_redis_goes_into_files_that_a_server_starts_from_and_comes_back_from_them(shell, tmp_path, single):
    vault = redis_vault(shell) if not (shell.home / "redis-vault").exists() else shell.home / "redis-vault"
    kinds = {b["kind"] for b in json.loads(shell("backups", "list", "--json", "--repository", vault))["backups"]}
    assert kinds == {"snapshot"}, "of Redis a backup is a snapshot, when nothing else is said"
    data = tmp_path / "data"
    told = shell("redis", "export", data, "--repository", vault, *(["--single-file"] if single else []))
    assert f"redis-server --dir {data} --appendonly yes" in told
    assert "not empty" in shell("redis", "export", data, "--repository", vault, code=2)
    shutil.copytree(data, tmp_path / "imported from")
    server = real_servers.start_redis(data)
    try:
        found = redis_stores.connect(server.endpoint, real_servers.CLOCK).digest()
    finally:
        server.close()
    assert found == shell.stores()["redis"].digest() and sum(d.items for d in found.values()) > 10
    imported = tmp_path / "imported"
    assert "consistent as of" in shell("redis", "import", tmp_path / "imported from", "--repository", imported)
    assert "another redis" in shell("redis", "import", tmp_path / "imported from", "--repository", vault, code=2)
    assert shell("backups", "verify", "--all", "--restore", "--repository", imported).count("PROVED") == 1
