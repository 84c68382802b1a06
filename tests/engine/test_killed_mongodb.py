"""kill -9 of backup, increment, capture and restore at random moments: what runs again reaches the same digest."""

import os
import random
import subprocess
import sys
import threading
from pathlib import Path

import mongodb_empty
import pytest
import real_servers

from drplatform.engine import backups
from drplatform.model import clock as clocks
from drplatform.model import errors
from drplatform.model.backup import BackupKind, chain_to
from drplatform.repositories import directory
from drplatform.stores import mongodb

CHILD = Path(__file__).with_name("killed_mongodb.py")
ACTIONS = ("full", "incremental", "capture", "restore")
"""About as long as each takes, in seconds: kills fall into it."""
LENGTHS = {"full": 0.5, "incremental": 0.4, "capture": 1.5, "restore": 1.5}


class World:
    """A source with a workload, a target, and a directory for backups."""

    def __init__(self, pair, base: Path, seed: int) -> None:
        self.endpoints, self.base, self.random = pair, base, random.Random(seed)
        self.source, self.target = (mongodb.connect(e, real_servers.CLOCK) for e in pair)
        self.keys, self.vault = base / "identity.txt", base / "vault"
        public, self.secret = backups.generate()
        backups.write_identity(self.keys, self.secret, public)
        self.public = public
        self.repository = directory.open(self.vault, real_servers.CLOCK)

    def begin(self, action: str, *more: str) -> subprocess.Popen:
        endpoint = self.endpoints[1 if action == "restore" else 0]
        command = [sys.executable, CHILD, action, str(endpoint.addresses[0]), str(self.vault), str(self.keys), *more]
        environment = {**os.environ, "PYTHONPATH": str(CHILD.parents[1])}
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert process.stdout and process.stdout.readline() == "ready\n", process.stderr and process.stderr.read()
        return process

    def kill(self, action: str, *more: str) -> None:
        process = self.begin(action, *more)
        after = self.random.uniform(0, LENGTHS[action])
        try:
            process.wait(after)
        except subprocess.TimeoutExpired:
            process.kill()
        process.communicate()

    def run(self, action: str) -> None:
        backups.back_up(self.source, BackupKind(action), self.repository, [self.public], real_servers.CLOCK, random.Random())

    def write(self) -> None:
        with real_servers.mongodb_client(self.endpoints[0]) as client:
            for name in ("a", "b"):
                begin = self.random.randrange(10**9)
                client.app[name].insert_many([{"_id": begin + n, "x": self.random.randbytes(150)} for n in range(1500)])
                client.app[name].update_many({"_id": {"$mod": [7, 0]}}, {"$inc": {"n": 1}})
                client.app[name].delete_many({"_id": {"$mod": [11, 0]}})
            client.app.log.insert_many([{"n": self.random.random()} for _ in range(30)])

    def chain(self):
        return chain_to(backups.Catalogue(self.repository).read().manifests, "mongodb")

    def restore(self, repository=None, resume: bool = False):
        lease, opener = backups.Lease("mongodb", self.target.identity()), backups.Opener((self.secret,))
        clock, place = real_servers.CLOCK, repository or self.repository
        end = backups.restore(self.chain(), self.target, place, opener, lease, clock, spool_bytes=0, resume=resume)
        assert self.target.unfinished() == ""
        return end


@pytest.fixture
def world(mongodb_endpoint_pair, tmp_path):
    seed = int(os.environ.get("DRPLATFORM_TEST_SEED") or random.SystemRandom().randrange(2**32))
    print(f"seed {seed}")
    made = World(mongodb_endpoint_pair, tmp_path, seed)
    for endpoint in mongodb_endpoint_pair:
        mongodb_empty.empty(endpoint)
    with real_servers.mongodb_client(mongodb_endpoint_pair[0]) as client:
        client.app.create_collection("log", capped=True, size=100_000, max=100)
        client.app.a.create_index("n")
        client.app.create_collection("measured", timeseries={"timeField": "t"})
        client.app.command("createUser", "anna", pwd="secret", roles=["read"])
    made.write()
    made.run("full")
    return made


def _killed_and_again(world: World, action: str) -> None:
    world.write()
    if action == "restore":
        world.run("incremental")
        mongodb_empty.empty(world.endpoints[1])
        world.kill("restore")
        while world.random.random() < 0.5 and world.target.unfinished():
            world.kill("restore", "resume")
        if world.target.unfinished() or not world.target.occupants():
            world.restore(resume=bool(world.target.unfinished()))
    else:
        world.kill(action)
        assert all(backups.verify(m, world.repository, None).whole for m in backups.Catalogue(world.repository).read().manifests)
        _again(world, action)
        mongodb_empty.empty(world.endpoints[1])
        world.restore()
    assert dict(world.target.digest()) == dict(world.source.digest()), action


def _again(world: World, action: str) -> None:
    if action != "capture":
        world.run(action)
        return
    process = world.begin("capture")
    try:
        end = world.source.position()
        reached = lambda: world.chain().end >= end  # noqa: E731
        clocks.wait_for(real_servers.CLOCK, "the capture to have everything", reached, within=60, every=0.2)
    finally:
        process.kill()
        process.communicate()


def test_what_was_killed_reaches_the_same_digest_when_it_runs_again(world):
    for action in (*ACTIONS, *ACTIONS, "restore", "restore"):
        _killed_and_again(world, action)


@pytest.mark.soak
@pytest.mark.parametrize("round_", range(10))
def test_a_hundred_kills(world, round_):
    for action in (*ACTIONS, *ACTIONS, "restore", "restore"):
        _killed_and_again(world, action)


class Stopping:
    """A repository that gives so many chunks, then fails: a restore that is cut off at exactly this place. It is not one of files."""

    def __init__(self, inner, chunks: int) -> None:
        self._inner, self.left, self.given = inner, chunks, 0
        self._lock = threading.Lock()

    def get(self, key: str) -> bytes:
        if "/chunks/" in key:
            with self._lock:
                self.left -= 1
                if self.left < 0:
                    raise errors.StoreError("cut off")
        return self._inner.get(key)

    def __getattr__(self, name: str):
        if name == "open":
            raise AttributeError(name)
        return getattr(self._inner, name)


@pytest.fixture
def many_blocks(world, monkeypatch):
    """A full backup of many small chunks."""
    import killed_mongodb

    for module in (killed_mongodb.dump, killed_mongodb.scan):
        monkeypatch.setattr(module, "BLOCK_BYTES", 20_000)
    return backups.back_up(world.source, BackupKind.FULL, world.repository, [world.public], real_servers.CLOCK, random.Random(1))


def test_a_restore_that_goes_on_fetches_what_is_missing_alone(world, many_blocks):
    chunks = len(many_blocks.chunks)
    assert chunks > 20
    with pytest.raises(errors.StoreError, match="cut off"):
        world.restore(Stopping(world.repository, chunks + chunks - 5))  # the first half of it is the check
    assert world.target.unfinished().startswith(many_blocks.id)
    with pytest.raises(errors.TargetRefused, match="--resume"):
        world.restore()
    counting = Stopping(world.repository, chunks + 14)
    world.restore(counting, resume=True)
    assert dict(world.target.digest()) == dict(world.source.digest()) and counting.left >= 0
    assert world.target.unfinished() == ""


def test_another_recovery_point_does_not_go_on_with_it(world, many_blocks):
    with pytest.raises(errors.StoreError, match="cut off"):
        world.restore(Stopping(world.repository, 2 * len(many_blocks.chunks) - 5))
    backups.back_up(world.source, BackupKind.FULL, world.repository, [world.public], real_servers.CLOCK, random.Random(2))
    with pytest.raises(errors.TargetRefused, match="something else"):
        world.restore(resume=True)


def test_a_second_restore_at_the_same_time_is_refused(world):
    with world.target.resume("the plan", False):
        for again in (False, True):
            with pytest.raises(errors.TargetRefused, match="at work"), world.target.resume("the plan", again):
                pass
    with pytest.raises(errors.TargetRefused, match="--resume"), world.target.resume("the plan", False):
        pass
    with world.target.resume("the plan", True):
        pass


def test_one_that_stood_still_and_was_taken_over_gives_up(world, many_blocks):
    with world.target.resume("the plan", False) as first:
        first._lease.owner = "nobody"  # it beats no more
        with world.target.resume("the plan", True), pytest.raises(errors.RecoveryFailed, match="taken over"):
            first._lease.enter("data")


def test_documents_expire_again_after_a_restore_that_was_killed(world):
    with real_servers.mongodb_client(world.endpoints[1]) as client:
        world.kill("restore")
        if world.target.unfinished():
            world.restore(resume=True)
        assert client.admin.command("getParameter", 1, ttlMonitorEnabled=1)["ttlMonitorEnabled"] is True
