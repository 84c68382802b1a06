"""The proxy before servers of every kind: what it holds back, from whom, and that nothing of it is left."""

import socket

import fault_world as worlds
import pymongo
import pytest
from fault_world import World

from drplatform.engine import scan
from drplatform.model import powers


def asked(address, timeout=1.5) -> bytes:
    """What a new client of Redis hears after it has asked; empty when nothing."""
    with socket.create_connection((address.host, address.port), 5) as one:
        one.settimeout(timeout)
        try:
            one.sendall(b"PING\r\n")
            return one.recv(100)
        except OSError:
            return b""


def replies(world: World) -> int:
    """How many writes the replica has acknowledged to its primary, asked of the replica."""
    return int(worlds.replica(world).info("replication")["slave_repl_offset"])


def test_only_the_named_sources_are_held_back(world):
    """Clients are cut off; the replica of the other region goes on."""
    world.settle()
    server, before = world.server("redis"), scan.look(world.platform)
    server.hinder(powers.CUT, [powers.CLIENTS])
    try:
        assert asked(server.address) == b""
        worlds.clocks.wait_for(
            worlds.CLOCK, "the link", lambda: worlds.replica(world).info("replication")["master_link_status"] == "up", within=60
        )
        server.hinder(powers.CUT, ["secondary"])
        assert asked(server.address, 20) == b"+PONG\r\n"
    finally:
        server.unhinder()
    assert asked(server.address, 20) == b"+PONG\r\n" and server.hindered() == ""
    assert scan.left(before, scan.look(world.platform)) == {}


@pytest.mark.soak
def test_a_mongodb_member_that_is_cut_off_is_no_primary_any_more(world):
    """A member behind a proxy is of its set as before; cut off, another is elected; afterwards it comes back."""
    world.settle()
    server = world.server("mongodb")
    server.hinder(powers.SLOW, [], seconds=0.0)
    world.settle()
    server.hinder(powers.CUT, [])
    try:
        with worlds.mongodb(world) as client:
            client.drill.cut.with_options(write_concern=pymongo.WriteConcern("majority")).insert_one({"a": 1})
            assert client.primary != (server.address.host, server.address.port)
    finally:
        server.unhinder()
    world.settle()


@pytest.mark.soak
def test_file_storage_behind_a_proxy_serves_and_is_reset(world):
    world.settle()
    server = world.server("files")
    server.hinder(powers.SLOW, [], seconds=0.05)
    try:
        world.write_to("files", 2)
    finally:
        server.unhinder()
    world.write_to("files", 1)
