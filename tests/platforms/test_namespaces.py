"""The network of namespaces on real servers: a cut is a cut, of what is dialled to a server and of what it dials, and leaves nothing."""

import os
import socket
import subprocess
import sys

import pymongo
import pymongo.errors
import pytest
import redis

from drplatform.environment import Environment, Settings
from drplatform.model import clock as clocks
from drplatform.model import errors
from drplatform.model.powers import CLIENTS, CUT, RESET, SLOW, Hindrance
from drplatform.platforms import embedded
from drplatform.platforms.embedded import EmbeddedPlatform, NamespacedPlatform, links, namespaces

if lacking := namespaces.missing():
    pytest.skip(f"network namespaces need what this machine lacks: {lacking}", allow_module_level=True)


@pytest.fixture(scope="module")
def platform(clock, tmp_path_factory):
    made = NamespacedPlatform.create(clock, tmp_path_factory.mktemp("namespaces") / "base", {}, os.environ, frozenset({"witness"}))
    with made:
        yield made
    clocks.wait_for(
        clock, "the machine's own network to be as it was", lambda: not [n for n in links_here() if made.id[:6] in n], within=20
    )


@pytest.fixture(autouse=True)
def whole_again(platform):
    yield
    platform.unhinder()


def links_here():
    return [line.split(":")[1].strip() for line in subprocess.check_output(["ip", "-oneline", "link"], text=True).splitlines()]


def server(platform, region, kind):
    return next(s for r in platform.regions if r.name == region for s in r.of(kind))


def reaches(one, other):
    """Whether a connection from the namespace of one server to the other can be made, tried by a process of its own there."""
    pid = one._process.pid.number
    code = f"import socket; socket.create_connection(({other.address.host!r}, {other.address.port}), 1)"
    done = subprocess.run(["nsenter", f"--net=/proc/{pid}/ns/net", "python3", "-c", code], capture_output=True)
    return done.returncode == 0


def answers(one):
    try:
        with redis.Redis(one.address.host, one.address.port, socket_timeout=1, socket_connect_timeout=1) as client:
            return client.ping()
    except redis.RedisError:
        return False


def test_a_region_that_is_cut_off_is_cut_off_both_ways(platform, clock):
    here, there, witness = (server(platform, region, "mongodb") for region in ("primary", "secondary", "witness"))
    assert reaches(here, there) and reaches(there, here)
    platform.hinder(Hindrance(CUT, ("secondary", "witness"), ("primary",)))
    assert not reaches(here, there) and not reaches(there, here)
    assert reaches(there, witness), "the others reach each other"
    assert answers(server(platform, "primary", "redis")), "and clients all of them"
    assert platform.hindered() == Hindrance(CUT, ("secondary", "witness"), ("primary",))

    def elected():
        with pymongo.MongoClient(there.address.host, there.address.port, directConnection=True, serverSelectionTimeoutMS=500) as one:
            return one.admin.command("hello")["isWritablePrimary"]

    clocks.wait_for(clock, "the other side to elect", elected, within=30, ignoring=(pymongo.errors.PyMongoError,))
    platform.unhinder()
    assert platform.hindered() is None
    assert reaches(here, there) and reaches(there, here)


def test_one_way_only_what_is_sent_to_the_region_is_dropped(platform):
    """A handshake takes both ways, so that nothing begins; what is dropped is told by the router's rules."""
    platform.hinder(Hindrance(CUT, ("secondary",), ("primary",), one_way=True))
    rules = platform._network._in(namespaces.ROUTER, ["nft", "list", "ruleset"])
    assert rules.count("drop") == 1
    assert not reaches(server(platform, "secondary", "redis"), server(platform, "primary", "redis"))


def test_clients_that_are_cut_off_find_their_connections_ended_when_it_is_over(platform, clock):
    one = server(platform, "primary", "redis")
    with socket.create_connection((one.address.host, one.address.port), 2) as open_before:
        platform.hinder(Hindrance(CUT, (CLIENTS,), ("primary",), ("redis",)))
        assert not answers(one)
        assert reaches(server(platform, "secondary", "redis"), one), "only clients are"
        assert reaches(server(platform, "primary", "mongodb"), server(platform, "secondary", "mongodb"))
        open_before.sendall(b"PING\r\n")
        open_before.settimeout(1)
        with pytest.raises(TimeoutError):
            open_before.recv(10)
        platform.unhinder()
        assert answers(one)
        with pytest.raises(OSError):
            while True:  # ended at the server's side: a packet that is sent again is answered by a reset
                open_before.settimeout(20)
                open_before.sendall(b"PING\r\n")
                assert open_before.recv(10)


def test_connections_are_reset(platform):
    one = server(platform, "primary", "redis")
    platform.hinder(Hindrance(RESET, (CLIENTS,), ("primary",), ("redis",)))
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((one.address.host, one.address.port), 5)


def test_what_the_router_cannot_do_is_refused_and_nothing_is_changed(platform):
    with pytest.raises(errors.SettingsError, match="for proxies"):
        platform.hinder(Hindrance(SLOW, (CLIENTS,), ("primary",), seconds=1))
    assert platform.hindered() is None
    assert answers(server(platform, "primary", "redis"))


def test_rules_that_somebody_took_away_are_not_in_force(platform):
    platform.hinder(Hindrance(CUT, (CLIENTS,), ("primary",)))
    platform._network._in(namespaces.ROUTER, ["nft", "flush", "ruleset"])
    assert platform.hindered() is None
    platform.hinder(Hindrance(CUT, ("nowhere",), ("primary",)))
    assert platform.hindered() is None, "a cut from nobody is none"


def test_the_network_is_chosen_by_what_is_planned(tmp_path):
    def chosen(setting, *wanted):
        variables = {"DRPLATFORM_SCRATCH": str(tmp_path), **({"DRPLATFORM_NETWORK": setting} if setting else {})}
        return type(Environment.open(Settings.read({**os.environ, **variables})).platform(frozenset(wanted)))

    cut, slow = (f"{links.HOW}{how}" for how in (CUT, SLOW))
    assert chosen("", links.LINKS, cut) is NamespacedPlatform
    assert chosen("", links.LINKS, cut, slow) is EmbeddedPlatform
    assert chosen("", "names") is EmbeddedPlatform
    assert chosen("proxies", links.LINKS, cut) is EmbeddedPlatform
    with pytest.raises(errors.SettingsError, match="slow is for proxies"):
        chosen("namespaces", links.LINKS, slow)
    with pytest.raises(errors.SettingsError, match="DRPLATFORM_NETWORK"):
        chosen("carrier pigeons", links.LINKS, slow)


def test_a_killed_run_leaves_no_network(clock, tmp_path):
    code = (
        "import os, sys, signal, pathlib\n"
        "from drplatform.environment.settings import SystemClock\n"
        "from drplatform.platforms.embedded import NamespacedPlatform\n"
        "made = NamespacedPlatform.create(SystemClock(), pathlib.Path(sys.argv[1]), {}, os.environ, frozenset({'alone:redis'}))\n"
        "made.start()\n"
        "print(made.id, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "base")], capture_output=True, text=True)
    id = done.stdout.strip()
    assert id, done.stderr
    assert [n for n in links_here() if id[:6] in n]
    assert embedded.sweep(tmp_path / "base", clock) == 1
    clocks.wait_for(clock, "its link to be gone", lambda: not [n for n in links_here() if id[:6] in n], within=20)
