"""Clients of the ledger where nothing serves."""

import pytest
from real_servers import free_ports

from drplatform.model import errors
from drplatform.model.clock import FakeClock
from drplatform.model.ports import Address, Endpoint
from drplatform.stores.mongodb import marks
from drplatform.stores.mongodb.store import MongoStore


def test_who_finds_no_primary_is_refused_in_the_time_of_a_write():
    """A client that waited longer could not be told to leave meanwhile."""
    clock = FakeClock()
    (closed,) = free_ports(1)
    store = MongoStore(Endpoint("mongodb", (Address("127.0.0.1", closed),), {"replica_set": "test"}), clock)
    with pytest.raises(errors.StoreError, match="is it up"):
        store.marker("staying")
    assert clock.elapsed <= marks.WRITE_SECONDS + 0.1
