"""Restores of Redis killed with SIGKILL at random points: refused without --resume, and with it everything is there, and nothing else."""

import contextlib
import json
import random
import subprocess
import sys
from pathlib import Path

import pytest
import real_servers
import redis

from drplatform.engine import backups
from drplatform.engine.capture import Capture
from drplatform.model import clock as clocks
from drplatform.model import errors
from drplatform.model.backup import BackupKind
from drplatform.repositories import directory
from drplatform.stores import redis as stores

CLOCK = real_servers.CLOCK
RECIPIENT, IDENTITY = backups.generate()


@pytest.fixture(scope="module")
def vault(tmp_path_factory):
    """A snapshot and a log after it, and the digest of what they lead to."""
    place = tmp_path_factory.mktemp("vault")
    repository = directory.open(place, CLOCK)
    server = real_servers.start_redis()
    try:
        source = stores.connect(server.endpoint, CLOCK)
        source.seed(3, 300)
        backups.back_up(source, BackupKind.SNAPSHOT, repository, [RECIPIENT], CLOCK, random.Random())
        base = backups.Catalogue(repository).last_of_chain("redis")
        capture = Capture(source, repository, [RECIPIENT], CLOCK, random.Random(), base.end)
        capture.start()
        with contextlib.closing(redis.Redis("127.0.0.1", server.endpoint.addresses[0].port)) as client:
            for number in range(400):
                client.set(f"later:{number}", str(number) * 50)
        clocks.wait_for(CLOCK, "the capture", lambda: capture.reached >= source.position(), within=30)
        capture.stop()
        yield place, source.digest()
    finally:
        server.close()


def settings(endpoint) -> dict:
    with contextlib.closing(redis.Redis("127.0.0.1", endpoint.addresses[0].port, decode_responses=True)) as client:
        return client.config_get("*")


def killed(place, endpoint, sent: int) -> bool:
    """Whether it was killed after so many bytes; else there were not so many."""
    command = [sys.executable, str(Path(__file__).with_name("killed_redis.py"))]
    told = {"vault": str(place), "port": endpoint.addresses[0].port, "identity": IDENTITY.reveal(), "bytes": sent}
    environment = {"PYTHONPATH": str(Path(__file__).parents[1])}
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as worker:
        try:
            worker.stdin.write(json.dumps(told) + "\n")
            worker.stdin.flush()
            return worker.stdout.readline().strip() == "halts"
        finally:
            worker.kill()


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("runs", [3, pytest.param(40, marks=pytest.mark.soak)])
def test_a_killed_restore_is_refused_and_then_begun_anew(vault, clock, runs):
    seed = random.SystemRandom().randrange(10**9)
    print("seed", seed)
    generator = random.Random(seed)
    place, expected = vault
    repository, opener = directory.open(place, CLOCK), backups.Opener([IDENTITY])
    chain = backups.Catalogue(repository).chain_to("redis")
    total = sum(m.plain_bytes for m in chain.backups)
    kills = 0
    for sent in [1, *(generator.randrange(total) for _ in range(runs - 1))]:
        server = real_servers.start_redis()
        try:
            before = settings(server.endpoint)
            kills += killed(place, server.endpoint, sent)
            target = stores.connect(server.endpoint, CLOCK)
            lease = backups.Lease("redis", target.identity())
            if not target.unfinished():
                continue
            assert chain.base.id in target.unfinished(), "it says which restore it was"
            with pytest.raises(errors.TargetRefused, match="--resume"):
                backups.restore(chain, target, repository, opener, lease, CLOCK)
            with pytest.raises(errors.TargetRefused), target.restore() as refused:
                refused.load(BackupKind.SNAPSHOT, "rdb", iter([b"REDIS0009" + bytes(5000)]))

            def resumed(target=target, lease=lease):
                return backups.restore(chain, target, repository, opener, lease, CLOCK, resume=True)

            end = clocks.wait_for(CLOCK, "the target to see that nobody restores", resumed, within=30, ignoring=(errors.TargetRefused,))
            assert dict(end.digests) == expected == target.digest() and end.refused == ()
            assert target.unfinished() == "" and settings(server.endpoint) == before
        finally:
            server.close()
    assert kills


def test_a_password_that_a_killed_restore_replaced_is_named(vault, clock):
    place, expected = vault
    repository = directory.open(place, CLOCK)
    chain = backups.Catalogue(repository).chain_to("redis")
    server = real_servers.start_redis()
    try:
        with contextlib.closing(redis.Redis("127.0.0.1", server.endpoint.addresses[0].port)) as client:
            client.config_set("masterauth", "secret-of-the-pair")
        assert killed(place, server.endpoint, 1000)
        target = stores.connect(server.endpoint, CLOCK)
        lease = backups.Lease("redis", target.identity())

        def resumed():
            return backups.restore(chain, target, repository, backups.Opener([IDENTITY]), lease, CLOCK, resume=True)

        end = clocks.wait_for(CLOCK, "the target to see that nobody restores", resumed, within=30, ignoring=(errors.TargetRefused,))
        assert dict(end.digests) == expected and "masterauth" in end.refused[0]
    finally:
        server.close()
