"""Backups of chosen collections alone: they hold nothing else, come back beside what is there, and never stand for a full backup."""

import dataclasses
import datetime
import json
import random

import mongodb_cases as cases
import pytest

from drplatform.engine import backups
from drplatform.model import backup, errors
from drplatform.model.backup import BackupKind, Manifest
from drplatform.model.ports import Choice
from drplatform.repositories import directory

PUBLIC, SECRET = backups.generate()
OPENER = backups.Opener((SECRET,))


@pytest.fixture
def source(pair):
    """A source whose other collections hold what must not be in a backup of `app.orders`."""
    with cases.client(pair[0].endpoint) as client:
        client.app.orders.insert_many([{"_id": n, "x": n} for n in range(30)])
        client.app.orders.create_index("x", unique=True)
        client.app.other.insert_one({"_id": 1, "secret": "hidden-before"})
        client.shop.orders.insert_one({"_id": "of another database"})
        yield pair[0], client


def take(store, repository, clock, *only):
    return backups.back_up(store, BackupKind.FULL, repository, [PUBLIC], clock, random.Random(), only=only)


def restore(chain, store, repository, clock, choice=None):
    return backups.restore(chain, store, repository, OPENER, backups.Lease("mongodb", store.identity()), clock, choice=choice)


def test_it_holds_what_is_chosen_alone_while_all_is_being_written(source):
    store, client = source
    rounds = iter(range(1000))

    def writing():
        n = next(rounds)
        client.app.orders.insert_one({"_id": f"during-{n}", "x": 1000 + n})
        client.app.other.insert_one({"secret": "hidden-during"})
        with client.start_session() as session, session.start_transaction():
            client.app.orders.update_one({"_id": n}, {"$set": {"t": n}}, session=session)
            client.app.other.insert_one({"secret": "hidden-in-a-transaction"}, session=session)
        with client.start_session() as session, session.start_transaction():
            client.app.other.insert_one({"secret": "hidden-alone"}, session=session)

    client.app.orders.create_index([("later", 1)])
    with store.dump_only(("app.orders",)) as dump:
        parts = []
        for part in dump.parts():
            writing()
            parts.append((part.name, part.stage, list(part.blocks())))
        end = dump.finish()
    assert set(end.counts) <= {"app.orders"} and all(name.startswith("app.orders") for name in end.digests)
    held = b"".join(block for _, _, blocks in parts for block in blocks)
    assert b"hidden" not in held and b"during-0" in held and b"of another database" not in held
    wanted = cases.everything(store.endpoint)["app.orders"]
    with store.restore_only(Choice(("app.orders",), {"app.orders": "app.again"}), "the plan", False) as target:
        for name, _, content in parts:
            target.load(BackupKind.PARTIAL, name, iter(content))
        target.loaded()
        target.finish()
    assert cases.everything(store.endpoint)["app.again"] == wanted


def test_nothing_takes_it_for_the_newest_full_backup(source, tmp_path, clock):
    store, client = source
    repository = directory.open(tmp_path, clock)
    with pytest.raises(errors.LogGap, match="no full backup"):
        take(store, repository, clock, "app.orders")
        backups.back_up(store, BackupKind.INCREMENTAL, repository, [PUBLIC], clock, random.Random())
    whole = backups.back_up(store, BackupKind.FULL, repository, [PUBLIC], clock, random.Random())
    client.app.orders.delete_one({"_id": 3})
    part = take(store, repository, clock, "app.orders")
    catalogue = backups.Catalogue(repository)
    assert part.kind is BackupKind.PARTIAL and part.scope == ("app.orders",) and part in catalogue.read().manifests
    assert catalogue.chain_to("mongodb").backups == (whole,) and catalogue.last_of_chain("mongodb") == whole
    step = backups.back_up(store, BackupKind.INCREMENTAL, repository, [PUBLIC], clock, random.Random())
    assert step.begin == whole.end
    assert backups.verify(part, repository, OPENER).whole


def test_it_comes_back_beside_what_is_there_with_the_log_after_it(source, pair, tmp_path, clock):
    store, client = source
    repository = directory.open(tmp_path, clock)
    part = take(store, repository, clock, "app.orders")
    with cases.captured(store, part.end) as batches:
        client.app.orders.delete_many({"_id": {"$lt": 10}})
        client.app.other.insert_one({"secret": "hidden-after"})
        point, wanted = store.position(), cases.everything(store.endpoint)["app.orders"]
        client.app.orders.drop()
    key = backups.DataKey.make([PUBLIC])
    log = backups.seal_log(store, store.identity(), batches, key, [PUBLIC], repository, clock, random.Random())
    target = pair[1]
    with cases.client(target.endpoint) as live:
        live.app.other.insert_one({"_id": "here before"})
    before = cases.everything(target.endpoint)
    chain = backup.chain_from(part, [part, log], point)
    for choice in (None, Choice(("app.other",)), Choice(("app.*",))):
        with pytest.raises(errors.SettingsError, match=r"holds only app\.orders"):
            restore(chain, target, repository, clock, choice)
    assert cases.everything(target.endpoint) == before
    restore(chain, target, repository, clock, Choice(("app.orders",)))
    after = cases.everything(target.endpoint)
    assert after.pop("app.orders") == wanted and after == before


def test_it_is_proved_by_a_restore_time_series_too(source, pair, tmp_path, clock):
    store, client = source
    client.app.create_collection("measured", timeseries={"timeField": "t", "metaField": "m"}, expireAfterSeconds=10**8)
    client.app.measured.insert_many([{"t": datetime.datetime.now(datetime.UTC), "m": n % 3} for n in range(50)])
    repository = directory.open(tmp_path, clock)
    part = take(store, repository, clock, "app.*")
    found = backups.prove(backups.chain_of(part, [part]), pair[1], repository, OPENER, clock)
    assert found.proved, found.problems
    assert found.compared >= 3 and cases.client(pair[1].endpoint).shop.orders.count_documents({}) == 0


def test_a_name_that_is_that_of_nothing_is_refused(source, tmp_path, clock):
    store, _ = source
    repository = directory.open(tmp_path, clock)
    for only in (("app.ordres",), ("app.orders", "moon.*")):
        with pytest.raises(errors.SettingsError, match=only[-1].replace("*", r"\*")):
            take(store, repository, clock, *only)
    with pytest.raises(errors.SettingsError, match="leave out the kind"):
        backups.back_up(store, BackupKind.INCREMENTAL, repository, [PUBLIC], clock, random.Random(), only=("app.orders",))
    assert list(repository.list("")) == []


def test_what_is_renamed_into_the_choice_during_the_dump_is_named(source):
    store, client = source
    with store.dump_only(("app.orders",)) as dump, pytest.raises(errors.StoreError, match=r"app\.other was renamed to app\.orders"):
        for part in dump.parts():
            list(part.blocks())
            if part.stage == 0:
                client.app.other.rename("orders", dropTarget=True)


def test_a_manifest_says_what_a_partial_backup_holds_or_is_none(source, tmp_path, clock):
    store, _ = source
    part = take(store, directory.open(tmp_path, clock), clock, "app.orders")
    document = json.loads(json.dumps(part.to_json()))
    assert Manifest.from_json(document) == part
    for wrong in (dataclasses.replace(part, scope=()), dataclasses.replace(part, kind=BackupKind.FULL)):
        with pytest.raises(errors.IntegrityError, match="scope"):
            Manifest.from_json(json.loads(json.dumps(wrong.to_json())))
