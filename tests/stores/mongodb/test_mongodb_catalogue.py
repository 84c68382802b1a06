"""What is no collection, and what this version cannot read: the latter is refused by name, and not left out."""

import bson
import mongodb_cases as cases
import pytest

from drplatform.model import errors
from drplatform.stores.mongodb.wire import Wire


@pytest.fixture
def source(store):
    with cases.client(store.endpoint) as client:
        cases.empty(store.endpoint)
        client.app.create_collection("metrics", timeseries={"timeField": "t"})
        client.app.create_collection("seen", viewOn="things", pipeline=[])
        client.app.things.insert_one({"_id": 1})
    return store


@pytest.fixture
def listed_as(monkeypatch):
    """Have the server list its time series as the function says."""

    def change(changed):
        real = Wire.documents

        def documents(self, database, command):
            for each in real(self, database, command):
                if each.get("type") == "timeseries":
                    yield changed(each)
                elif not (each.get("name") or "").startswith("system.buckets."):
                    yield each

        monkeypatch.setattr(Wire, "documents", documents)

    return change


def collections(store):
    with store.dump() as dump:
        return [collection.namespace for collection in dump.collections if collection.namespace.startswith("app.")]


def test_views_are_passed_over_and_what_they_show_is_not(source):
    assert collections(source) == ["app.system.buckets.metrics", "app.system.views", "app.things"]


@pytest.mark.parametrize(
    "changed",
    [
        lambda each: {**each, "info": {**each["info"], "uuid": bson.Binary(b"u" * 16, 4)}},
        lambda each: {**each, "type": "graph"},
    ],
    ids=["time series without buckets beside them", "a type that is not known"],
)
def test_what_cannot_be_read_is_refused_by_name(source, listed_as, changed):
    listed_as(changed)
    with pytest.raises(errors.StoreError, match=r"app\.metrics \(.*\) in a way that this version cannot read"):
        collections(source)
