"""The Docker platform on a real engine: ready means functional, partitions cut, lost servers are replaced, crashes are cleared.

Skipped by name where there is no Docker engine, or no image of servers on it (drplatform platform images build).
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pymongo
import pytest
import redis

from drplatform import environment
from drplatform.engine import capabilities, faulting
from drplatform.model import clock as clocks
from drplatform.model import drill, errors, ports, powers
from drplatform.model.powers import Hindrance
from drplatform.model.services import Serving
from drplatform.model.timeline import Timeline
from drplatform.platforms import docker
from drplatform.platforms.docker import container
from drplatform.platforms.docker import engine as engines

RUNNER = Path(__file__).with_name("docker_runner.py")
IMAGE = os.environ.get("DRPLATFORM_IMAGE", docker.IMAGE)


@pytest.fixture(scope="module")
def engine():
    try:
        found = engines.connect(IMAGE)
    except errors.SettingsError as error:
        pytest.skip(f"no Docker platform here: {error}")
    yield found
    found.close()


@pytest.fixture(scope="module")
def platform(engine, clock, tmp_path_factory):
    with docker.DockerPlatform.open_engine(clock, tmp_path_factory.mktemp("docker") / "base", os.environ, image=IMAGE) as made:
        yield made
    assert made.directory not in engine.platforms(), "leaving removes containers and networks"


def direct(server):
    return pymongo.MongoClient(server.address.host, server.address.port, directConnection=True, serverSelectionTimeoutMS=5000)


def one(platform, kind, region="primary"):
    return next(r for r in platform.regions if r.name == region).of(kind)[0]


def health_seen_by(server):
    with direct(server) as client:
        members = client.admin.command("replSetGetStatus")["members"]
    return {member["name"]: member["health"] for member in members}


def test_it_has_the_powers_it_claims_and_they_work(platform):
    assert isinstance(platform, powers.Severable) and isinstance(platform, Serving)
    server = one(platform, "redis", "secondary")
    assert server.running() and server.trace()["process"] == "running"
    server.hang()
    assert server.trace()["process"] == "paused"
    with pytest.raises(redis.RedisError):
        redis.Redis(server.address.host, server.address.port, socket_timeout=0.5).ping()
    server.wake()
    assert redis.Redis(server.address.host, server.address.port, socket_timeout=20).ping()
    server.hang()
    server.kill()
    assert not server.running() and server.trace()["process"] == "absent"
    assert server.stored_bytes() > 0
    server.erase()
    assert server.stored_bytes() == 0
    server.start()
    assert server.running()


def test_a_partition_cuts_regions_apart_but_not_from_clients(platform, clock):
    primary, other = one(platform, "mongodb"), one(platform, "mongodb", "secondary")
    cut = Hindrance("cut", ("primary",), ("secondary",))
    platform.hinder(cut)
    try:
        assert platform.hindered() == cut
        clocks.wait_for(clock, "the primary to miss it", lambda: health_seen_by(primary)[str(other.address)] == 0, within=60)
        clocks.wait_for(clock, "it to miss the primary", lambda: health_seen_by(other)[str(primary.address)] == 0, within=60)
        with direct(primary) as client:
            client.test.cut.insert_one({"_id": 1})
    finally:
        platform.unhinder()
    assert platform.hindered() is None
    clocks.wait_for(clock, "all to be well", lambda: set(health_seen_by(primary).values()) == {1}, within=60)


def test_one_way_a_region_dials_the_other_no_more_and_is_dialled_by_it(platform):
    here, there = one(platform, "redis"), one(platform, "redis", "secondary")
    platform.hinder(Hindrance("cut", ("secondary",), ("primary",), ("redis",), one_way=True))
    try:
        assert platform.hindered() is not None
        assert not dials(there, here.address) and dials(here, there.address)
    finally:
        platform.unhinder()
    assert dials(there, here.address)


def dials(server, address):
    """Whether a program in the server's container gets a connection to the address."""
    program = f"import socket; socket.create_connection(({address.host!r}, {address.port}), 2)"
    done = subprocess.run(["docker", "exec", server.container, "python3", "-c", program], capture_output=True, timeout=60, check=False)
    return done.returncode == 0


@pytest.mark.parametrize("kind", ["mongodb", "redis"])
def test_the_clock_of_a_server_is_wrong_and_right_again(platform, clock, kind):
    fault = environment.fault("clock-skewed")(region="secondary", stores=(kind,), seconds=-90.0)
    assert not fault.needs() - capabilities.offered(platform, {}, ())
    scene = ports.Scene(platform, {}, clock)
    with faulting.Faulting(scene, platform.directory / f"{kind}.jsonl", clock, Timeline(clock)) as faults:
        receipt = faults.inflict(fault).receipt
        assert len(receipt.targets) == 1, receipt


def test_an_image_without_what_skews_clocks_is_told_when_it_is_planned(platform, engine, clock, monkeypatch):
    assert not engine.loads(Path("/usr/local/lib/no-such-library.so.1"), platform.directory)
    monkeypatch.setattr(container, "FAKETIME", Path("/usr/local/lib/no-such-library.so.1"))
    missing = environment.fault("clock-skewed")().needs() - capabilities.offered(platform, {}, ())
    assert "platform images build" in drill.told(missing)


def test_lost_servers_are_provisioned_privately_and_published(platform, clock):
    server = one(platform, "redis")
    public = server.address
    for region in platform.regions:
        platform.fence(region.name, "redis")
    endpoint = platform.provision("primary", "redis")
    assert endpoint.addresses[0] != public
    redis.Redis(endpoint.addresses[0].host, endpoint.addresses[0].port).set("restored", "yes")
    with pytest.raises(redis.RedisError):
        redis.Redis(public.host, public.port, socket_connect_timeout=2).ping()
    platform.publish("primary", "redis")
    assert redis.Redis(public.host, public.port).get("restored") == b"yes"
    platform.rejoin("secondary", "redis")
    replica = one(platform, "redis", "secondary").address
    assert redis.Redis(replica.host, replica.port).get("restored") == b"yes"


def test_what_a_killed_run_leaves_is_cleared(engine, clock, tmp_path):
    base = tmp_path / "base"
    runner = subprocess.Popen([sys.executable, str(RUNNER), str(base), IMAGE], stdout=subprocess.PIPE, text=True)
    try:
        directory = base / runner.stdout.readline().strip()
    finally:
        runner.send_signal(signal.SIGKILL)
        runner.communicate()
    assert directory in engine.platforms(), "planted: a killed run leaves its containers"
    assert docker.sweep(base, clock) == 1
    assert directory not in engine.platforms() and not directory.exists()
    assert docker.sweep(base, clock) == 0


def test_an_image_that_is_not_there_is_named(engine):
    with pytest.raises(errors.SettingsError, match="drplatform platform images build"):
        engines.connect("drplatform-no-such-image")
