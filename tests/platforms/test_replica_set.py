"""What mongod members do together, on real ones."""

import contextlib
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pymongo
import pymongo.errors
import pytest
from real_servers import CLOCK, free_ports, start_mongodb

from drplatform.model.ports import Address
from drplatform.platforms.embedded import replicaset
from drplatform.platforms.embedded.process import Waits

NOT_YET_INITIALIZED = 94
WAITS = Waits(CLOCK, threading.Event())


@pytest.fixture
def silent():
    """What takes connections and never answers: a member whose machine is in trouble."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


def test_a_member_that_still_looks_for_itself_is_waited_for(silent):
    """It answers before it has read its configuration: it asks all members listed there whether they are it, also those that say nothing."""
    server = start_mongodb()
    with contextlib.closing(server):
        moved = _started_elsewhere(server, Address(*silent.getsockname()))
        with replicaset.client(moved) as one, ThreadPoolExecutor(1) as pool:
            server.wait(lambda: one.admin.command("ping"), pymongo.errors.PyMongoError)
            with pytest.raises(pymongo.errors.OperationFailure) as planted:
                one.admin.command("replSetGetConfig")
            assert planted.value.code == NOT_YET_INITIALIZED
            taking = pool.submit(replicaset.take_over, moved, 1.0, WAITS)
            silent.close()
            taking.result()
            replicaset.wait_for_primary(moved, WAITS)
            assert [m["host"] for m in one.admin.command("replSetGetConfig")["config"]["members"]] == [str(moved)]


def _started_elsewhere(server, other: Address) -> Address:
    """The member of a set of two, started again at an address that its configuration does not know."""
    with replicaset.client(server.endpoint.addresses[0]) as one:
        config = one.admin.command("replSetGetConfig")["config"]
        config["members"].append({"_id": 1, "host": str(other), "priority": 0, "votes": 0})
        one.admin.command({"replSetReconfig": {**config, "version": config["version"] + 1}, "force": True})
    server.kill()
    (port,) = free_ports(1)
    server.command[server.command.index("--port") + 1] = str(port)
    server.start()
    return Address("127.0.0.1", port)
