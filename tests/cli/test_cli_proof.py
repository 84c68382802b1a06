"""`backups verify --restore`: a backup proved by a restore into a server made for that, which is gone afterwards."""

import json

import pytest
import real_servers

from drplatform.engine import backups
from drplatform.engine.backups import proof
from drplatform.model.backup import BackupKind, Chain, Digest
from drplatform.repositories import directory
from drplatform.stores import mongodb


@pytest.fixture
def configured(home, mongodb_endpoint, redis_endpoint, monkeypatch):
    stores = {
        name: {"addresses": [str(a) for a in endpoint.addresses]}
        for name, endpoint in (("mongodb", mongodb_endpoint), ("redis", redis_endpoint))
    }
    file = home.write("drplatform.yaml", json.dumps({"stores": stores, "repository": {"directory": "vault"}}))
    monkeypatch.setenv("DRPLATFORM_CONFIG", str(file))
    assert home("keys", "generate").code == 0
    with real_servers.mongodb_client(mongodb_endpoint) as client:
        client.shop.orders.insert_many([{"_id": n} for n in range(50)])
        client.shop.orders.create_index("x")
        yield client


def test_full_and_incremental_backups_and_snapshots_are_proved(home, configured):
    assert home("backups", "take", "mongodb", "full").code == 0
    configured.shop.orders.insert_one({"_id": "later"})
    assert home("backups", "take", "mongodb", "incremental").code == 0
    assert home("backups", "take", "redis", "snapshot").code == 0
    told = home("backups", "verify", "--all", "--restore")
    assert told.code == 0, told.err + told.out
    assert told.out.count("PROVED by a restore") == 3
    assert "50 items" in told.out and "51 items" in told.out
    assert not [p for p in home.scratch.glob("drplatform-*/*") if p.name != ".lock"], "the servers are gone"


def test_chosen_collections_alone_are_backed_up_proved_and_restored(home, configured):
    for wrong, why in ((["--only", "shop"], "shop.*"), (["incremental", "--only", "shop.orders"], "leave out the kind")):
        refused = home("backups", "take", "mongodb", *wrong)
        assert refused.code == 2 and why in refused.err
    configured.shop.other.insert_one({"_id": 1})
    taken = home("backups", "take", "mongodb", "--only", "shop.orders")
    assert taken.code == 0 and "only shop.orders" in taken.out
    backup = taken.out.split()[0]
    assert "only shop.orders" in home("backups", "list").out
    refused = home("backups", "restore", "mongodb", "--yes")
    assert refused.code == 1 and "no full backup" in refused.err
    assert "PROVED by a restore: 50 items" in home("backups", "verify", backup, "--restore").out
    configured.shop.orders.drop()
    assert home("backups", "restore", "mongodb", "--backup", backup, "--yes").code == 0
    assert configured.shop.orders.count_documents({}) == 50 and configured.shop.other.count_documents({}) == 1
    renamed = home("backups", "restore", "mongodb", "--backup", backup, "--rename", "shop.orders=shop.again", "--yes")
    assert renamed.code == 0 and configured.shop["again"].count_documents({}) == 50
    refused = home("backups", "restore", "mongodb", "--backup", backup, "--only", "shop.other", "--yes")
    assert refused.code == 2 and "holds only shop.orders" in refused.err


def test_what_comes_back_otherwise_is_named(mongodb_endpoint_pair, tmp_path, clock, monkeypatch):
    """The planted defect: a backup whose digest is of something else."""
    import random

    source, target = (mongodb.connect(e, clock) for e in mongodb_endpoint_pair)
    source.seed(1, 20)
    repository = directory.open(tmp_path, clock)
    public, secret = backups.generate()
    manifest = backups.back_up(source, BackupKind.FULL, repository, [public], clock, random.Random(1))
    name = next(iter(manifest.digests))
    monkeypatch.setattr(proof, "restore", _with_another(name))
    found = backups.prove(Chain(manifest), target, repository, backups.Opener((secret,)), clock)
    assert found.problems == (f"{name} is not what was backed up",) and not found.proved


def _with_another(name):
    def restore(*told, **more):
        import dataclasses

        end = backups.restore(*told, **more)
        return dataclasses.replace(end, digests={**end.digests, name: Digest(1, "0")})

    return restore
