"""Backups under object lock, at a real S3 server: nobody can take them away before their time, and what was only hidden comes back."""

import dataclasses
import secrets
from datetime import timedelta

import botocore.exceptions
import pytest
import yaml
from real_servers import s3_client

from drplatform import cli, environment
from drplatform.engine import archive, backups
from drplatform.engine.backups import pruning
from drplatform.environment import load_policy
from drplatform.model import errors, ports, retention
from drplatform.model.backup import BackupKind


@pytest.fixture
def place(s3_endpoint):
    """A bucket of its own with object lock, and the vault in it that locks for 30 and 400 days."""
    bucket = f"locked-{secrets.token_hex(4)}"
    s3_client(s3_endpoint).create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
    return dataclasses.replace(
        s3_endpoint, options={**s3_endpoint.options, "bucket": bucket, "lock_days": "30", "evidence_lock_days": "400"}
    )


@pytest.fixture
def vault(place, clock):
    return environment.repository(place, clock)


@pytest.fixture
def memory_backup(memory_kit, clock):
    """Takes a backup into a vault; gives it, and the key that opens it."""
    memory_kit.stores["mongodb"].seed(1, 5)

    def take(vault):
        kit = memory_kit
        made = backups.back_up(kit.stores["mongodb"], BackupKind.FULL, vault, kit.keys.recipients, clock, kit.random)
        return made, kit.keys.identities[0]

    return take


def objects(vault):
    return {info.key: vault.get(info.key) for info in vault.list("")}


def versions(place):
    found = s3_client(place).list_object_versions(Bucket=place.options["bucket"])
    return {v["Key"]: v["VersionId"] for v in found.get("Versions", ())}


def test_what_is_put_is_locked_for_as_long_as_is_said_and_the_owner_cannot_delete_it(vault, place, clock):
    days = {"redis/snapshot/one/manifest.json": 30, "evidence/log/records/000000000.jsonl": 400, "leases/one": 0, "holds/one": 0}
    for key in days:
        vault.put(key, b"content")
    owner, bucket = s3_client(place), place.options["bucket"]
    for key, version in versions(place).items():
        kept = owner.head_object(Bucket=bucket, Key=key).get("ObjectLockRetainUntilDate")
        assert (kept is None) == (days[key] == 0)
        if kept is None:
            owner.delete_object(Bucket=bucket, Key=key, VersionId=version)
            continue
        assert abs(kept - clock.utc() - timedelta(days=days[key])) < timedelta(minutes=5)
        with pytest.raises(botocore.exceptions.ClientError, match="AccessDenied"):
            owner.delete_object(Bucket=bucket, Key=key, VersionId=version)
        with pytest.raises(botocore.exceptions.ClientError, match="AccessDenied"):
            owner.delete_object(Bucket=bucket, Key=key, VersionId=version, BypassGovernanceRetention=True)
    assert set(objects(vault)) == {key for key, count in days.items() if count}


def test_a_vault_that_a_thief_empties_comes_back_whole(vault, place, monkeypatch, tmp_path, capsys, memory_backup):
    """With the owner's own keys everything is deleted that can be; the command brings all backups back, and they verify."""
    made, identity = memory_backup(vault)
    before = objects(vault)
    owner, bucket = s3_client(place), place.options["bucket"]
    for key in before:
        owner.delete_object(Bucket=bucket, Key=key)
    assert objects(vault) == {}
    monkeypatch.setenv("DRPLATFORM_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("P", place.credentials.password.reveal())
    s3 = {
        "addresses": [str(place.addresses[0])],
        "user": place.credentials.user,
        "password": {"env": "P"},
        "options": {"bucket": bucket, "lock_days": 30},
    }
    (tmp_path / "drplatform.yaml").write_text(yaml.safe_dump({"stores": {}, "repository": {"s3": s3}}))
    assert cli.run(["backups", "undelete", "--yes", "--config", str(tmp_path / "drplatform.yaml")]) == 0
    assert made.id in capsys.readouterr().out
    assert objects(vault) == before
    assert not backups.verify(made, vault, backups.Opener([identity])).problems


def test_what_retention_lets_go_is_hidden_and_kept_by_the_lock(vault, place, memory_backup, clock):
    made, _ = memory_backup(vault)
    newer, _ = memory_backup(vault)
    later = clock.utc() + timedelta(days=29)
    manifests = [dataclasses.replace(made, finished=made.finished - timedelta(days=2)), dataclasses.replace(newer, finished=later)]
    plan = retention.prune(manifests, load_policy(None), later)
    pruning.apply(plan, vault, lambda m: None, frozenset())
    assert [m.id for m in backups.Catalogue(vault).read().manifests] == [newer.id]
    assert {k.split("/")[2] for k in versions(place)} == {made.id, newer.id}


def test_a_bucket_without_versions_says_that_what_was_deleted_is_gone(s3_endpoint, clock):
    plain = environment.repository(dataclasses.replace(s3_endpoint, options={**s3_endpoint.options, "bucket": "uploads"}), clock)
    assert isinstance(plain, ports.Undeletes)
    with pytest.raises(errors.StoreError, match="keeps no versions"):
        plain.undelete("")


def test_locking_in_a_bucket_that_cannot_lock_is_told_and_stores_nothing(s3_endpoint, clock):
    plain = environment.repository(
        dataclasses.replace(s3_endpoint, options={**s3_endpoint.options, "bucket": "uploads", "lock_days": "30"}), clock
    )
    with pytest.raises(errors.StoreError):
        plain.put("redis/snapshot/one/manifest.json", b"content")
    assert list(plain.list("")) == []


def test_evidence_is_kept_under_its_own_lock(vault, place):
    record = {"kind": "x", "hash": "ab" * 32}
    archive.Archive(vault).keep(lambda: [record], lambda record: b"")
    (key,) = versions(place)
    assert key.startswith("evidence/")
    kept = s3_client(place).head_object(Bucket=place.options["bucket"], Key=key)["ObjectLockRetainUntilDate"]
    assert (kept - s3_client(place).head_object(Bucket=place.options["bucket"], Key=key)["LastModified"]).days >= 399
