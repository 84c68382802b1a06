"""Chosen collections restored beside live data, also under other names; nothing else is touched."""

import datetime

import mongodb_cases as cases
import pytest

from drplatform.model import errors
from drplatform.model.backup import BackupKind
from drplatform.model.ports import Choice

AS = Choice(("app.orders",), {"app.orders": "app.orders_recovered"})


@pytest.fixture
def live(pair):
    """The source; it is restored into itself."""
    with cases.client(pair[0].endpoint) as client:
        client.app.orders.insert_many([{"_id": n, "x": n} for n in range(20)])
        client.app.orders.create_index("x", unique=True)
        client.app.other.insert_one({"_id": 1})
        client.shop.orders.insert_one({"_id": "of another database"})
        yield pair[0], client


def restore(store, choice, parts, blocks=None, until=None, increments=(), again=False):
    with store.restore_only(choice, "the plan", again) as target:
        for kind, backup in ((BackupKind.FULL, parts), *((BackupKind.INCREMENTAL, each) for each in increments)):
            for name, _, content in sorted(backup, key=lambda part: part[1]):
                target.load(kind, name, iter(content))
        target.loaded()
        if blocks is not None:
            target.replay(iter(blocks), until)
        return target.finish()


def test_one_collection_beside_itself_through_increments_and_the_log(live):
    store, client = live
    full, end = cases.take(store)
    client.app.orders.update_many({}, {"$inc": {"x": 100}})
    client.app.other.insert_one({"_id": 2})
    step, end = cases.take(store, since=end.end)
    with cases.captured(store, end.end) as batches:
        client.app.orders.delete_one({"_id": 3})
        client.app.command("collMod", "orders", validator={"x": {"$gt": 0}})
        with client.start_session() as session, session.start_transaction():
            client.app.orders.insert_one({"_id": "t", "x": 5}, session=session)
            client.app.other.insert_one({"_id": "t"}, session=session)
        point, wanted = store.position(), cases.everything(store.endpoint)["app.orders"]
        client.app.orders.delete_many({})
        client.app.other.delete_many({})
    before = cases.everything(store.endpoint)
    end = restore(store, AS, full, [batch.block for batch in batches], point, [step])
    after = cases.everything(store.endpoint)
    assert after.pop("app.orders_recovered") == wanted
    assert after == before
    assert end.counts["app.orders_recovered"] == 20 and set(end.counts) == {"app.orders_recovered"}
    with pytest.raises(errors.TargetRefused, match="orders_recovered already"):
        restore(store, AS, full)


def test_a_name_that_is_taken_is_refused_and_nothing_is_touched(live):
    store, client = live
    full, _ = cases.take(store)
    before = cases.everything(store.endpoint)
    with pytest.raises(errors.TargetRefused, match="choose another name"):
        restore(store, Choice(("app.*",)), full)
    assert cases.everything(store.endpoint) == before
    client.app.orders.drop()
    client.app.other.drop()
    restore(store, Choice(("app.*",)), full)
    assert cases.everything(store.endpoint) == before


def test_an_attempt_that_was_cut_off_is_cleared_and_made_again(live):
    store, client = live
    full, _ = cases.take(store)
    before = cases.everything(store.endpoint)
    with pytest.raises(KeyError), store.restore_only(AS, "the plan", False) as target:
        for name, _, content in full[:-1]:
            target.load(BackupKind.FULL, name, iter(content))
        raise KeyError("cut off")
    assert client.app.orders_recovered.count_documents({}) == 20
    assert store.unfinished() == "the plan" and store.halfway() == "", "the live data are backed up all the same"
    restore(store, AS, full, again=True)
    after = cases.everything(store.endpoint)
    assert after.pop("app.orders_recovered") == before["app.orders"]
    assert after == before


def test_time_series_come_with_their_view(live):
    store, client = live
    client.app.create_collection("measured", timeseries={"timeField": "t", "metaField": "m"}, expireAfterSeconds=10**8)
    now = datetime.datetime.now(datetime.UTC)
    client.app.measured.insert_many([{"t": now, "m": n % 3, "v": n} for n in range(50)])
    full, _ = cases.take(store)
    restore(store, Choice(("app.measured",), {"app.measured": "app.again"}), full)
    assert client.app["again"].count_documents({"m": 1}) == 17
    found = cases.everything(store.endpoint)
    assert found["app.system.buckets.again"] == found["app.system.buckets.measured"]


def test_what_was_renamed_into_the_choice_is_named(live):
    store, client = live
    full, end = cases.take(store)
    with cases.captured(store, end.end) as batches:
        client.app.other.rename("orders", dropTarget=True)
    blocks = [batch.block for batch in batches]
    with pytest.raises(errors.RecoveryFailed, match=r"app\.other was renamed to app\.orders .* choose it too"):
        restore(store, AS, full, blocks)
    both = Choice(("app.orders", "app.other"), {"app.orders": "app.o", "app.other": "app.p"})
    restored = restore_again(store, both, full, blocks)
    assert restored.counts["app.o"] == 1 and "app.p" not in restored.counts


def restore_again(store, choice, full, blocks):
    with cases.client(store.endpoint) as client:
        client.drplatform.restoring.drop()
        client.app.orders_recovered.drop()
    return restore(store, choice, full, blocks)


def test_what_was_renamed_out_of_the_choice_or_dropped_is_not_there(live):
    store, client = live
    full, end = cases.take(store)
    with cases.captured(store, end.end) as batches:
        client.app.orders.rename("orders_old")
        client.app.orders.insert_one({"_id": "fresh"})
    restored = restore(store, AS, full, [batch.block for batch in batches])
    assert restored.counts["app.orders_recovered"] == 1
    with pytest.raises(errors.RecoveryFailed, match=r"there is no app\.nothing"):
        restore(store, Choice(("app.nothing",)), full)
