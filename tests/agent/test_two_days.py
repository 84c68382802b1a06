"""Days of the agent lived through in minutes: real servers, failures, kills; then exactly the backups that the policy says, and they restore."""

import bisect
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path

import pymongo
import pytest
import real_servers
import redis
import scaled_agent
import yaml
from real_servers import CLOCK, empty_mongodb, empty_s3, mongodb_client, s3_client, start_mongodb, start_redis, start_s3

from drplatform.engine import backups, monitor
from drplatform.engine.audit import AuditLog
from drplatform.environment import Where, connect, load_policy, repository
from drplatform.model import backup, errors, retention
from drplatform.model import clock as clocks
from drplatform.model.backup import BASES, BackupKind
from drplatform.model.policy import CONTINUOUS

FACTOR = 430
LATE = timedelta(minutes=50)
"""So near the end, what is due may not be done: an outage lasts up to 20 minutes, and another attempt takes its time."""
KEPT = {("mongodb", "full"): "26h", ("files", "full"): "30h", ("configuration", "full"): "30h"}
OUTAGE = timedelta(minutes=20)


class World:
    """Servers, the agent in its process, and what was acknowledged when."""

    def __init__(self, directory, servers):
        self.directory, self.servers, self.written, self.killed_redis = directory, servers, {"mongodb": [], "redis": [], "files": []}, []
        (directory / "vault").mkdir()
        (directory / "env/environment").mkdir(parents=True)
        (directory / "env/environment/app.env").write_text("MODE=on\n")
        rules = yaml.safe_load((Path(backups.__file__).parents[2] / "policy.yaml").read_text())
        for rule in rules["backups"]:
            rule["retention"] = KEPT.get((rule["store"], rule["kind"]), "6h")
        (directory / "policy.yaml").write_text(yaml.safe_dump(rules))
        files = servers["files"].endpoint
        stores = {name: {"addresses": [str(a) for a in servers[name].endpoint.addresses]} for name in servers}
        stores["files"] |= {"options": {"buckets": "uploads,pdfs"}, "user": files.credentials.user, "password": {"env": "FILES_PASSWORD"}}
        stores["mongodb"]["options"] = {"replica_set": "test"}
        stores["configuration"] = {"options": {"directory": "env"}}
        config = {"stores": stores, "repository": {"directory": "vault"}, "alerts": [{"kind": "log", "file": "alerts.log"}]}
        (directory / "drplatform.yaml").write_text(yaml.safe_dump(config))
        self.variables = {
            "DRPLATFORM_STATE": str(directory / "state"),
            "DRPLATFORM_POLICY": str(directory / "policy.yaml"),
            "DRPLATFORM_CONFIG": str(directory / "drplatform.yaml"),
            "FILES_PASSWORD": files.credentials.password.reveal(),
        }
        self.clock, self.kills, self.agent = None, [], None
        self.stop = threading.Event()

    def command(self, *arguments):
        command = [sys.executable, "-c", "from drplatform.cli import main; main()", *arguments]
        done = subprocess.run(command, env={**os.environ, **self.variables}, capture_output=True, text=True, timeout=300)
        return done.returncode, done.stdout + done.stderr

    def start_agent(self):
        command = [sys.executable, scaled_agent.__file__, str(self.directory / "drplatform.yaml"), str(FACTOR), str(self.clock.began)]
        with (self.directory / "said").open("ab") as said:
            variables = {**os.environ, **self.variables, "PYTHONPATH": str(Path(real_servers.__file__).parent)}
            self.agent = subprocess.Popen(command, env=variables, stdout=said, stderr=said, cwd=self.directory)

    def kill_agent(self):
        self.kills.append(self.clock.utc())
        self.agent.kill()
        self.agent.wait()
        self.start_agent()

    def outage(self, name):
        server = self.servers[name]
        if name == "redis":
            self.killed_redis.append(time.time())
        server.kill()
        began = self.clock.utc()
        wait_until(self.clock, began + OUTAGE)
        server.start()

    def write(self):
        """What is acknowledged, and when by the machine's clock."""
        first = self.servers["mongodb"].endpoint.addresses[0]
        cache = self.servers["redis"].endpoint.addresses[0]
        with (
            pymongo.MongoClient(
                first.host, first.port, directConnection=True, serverSelectionTimeoutMS=200, socketTimeoutMS=3000
            ) as client,
            redis.Redis(cache.host, cache.port, socket_timeout=3) as keys,
        ):
            orders = client.shop.get_collection("orders", write_concern=pymongo.WriteConcern("majority", j=True))
            number = 0
            while not self.stop.is_set():
                number += 1
                self._acknowledged("mongodb", number, lambda n=number: orders.insert_one({"_id": n}), pymongo.errors.PyMongoError)
                self._acknowledged("redis", number, lambda n=number: keys.set(f"order:{n}", n), redis.RedisError)
                if number % 10 == 1:
                    s3 = s3_client(self.servers["files"].endpoint)
                    put = lambda n=number, s3=s3: s3.put_object(Bucket="uploads", Key=f"order-{n}", Body=b"x" * n)  # noqa: E731
                    self._acknowledged("files", number, put, Exception)
                CLOCK.wait(self.stop, 0.5)

    def _acknowledged(self, store, number, act, failure):
        try:
            act()
            self.written[store].append((time.time(), number))
        except failure:
            pass

    def listing(self):
        return backups.Catalogue(repository(self.directory / "vault", CLOCK)).read()

    def records(self):
        log = AuditLog(self.directory / "state/audit.jsonl")
        log.verify()
        return log.read()


def wait_until(clock, moment):
    clocks.wait_for(CLOCK, "the time to come", lambda: clock.utc() >= moment, within=900)


@pytest.fixture
def world(tmp_path):
    servers = {"mongodb": start_mongodb(), "redis": start_redis(), "files": start_s3()}
    made = World(tmp_path, servers)
    assert made.command("keys", "generate")[0] == 0
    yield made
    made.stop.set()
    if made.agent:
        made.agent.kill()
        made.agent.wait()
    for server in servers.values():
        server.close()


@pytest.mark.timeout(1500)
@pytest.mark.parametrize("hours", [4, pytest.param(48, marks=pytest.mark.soak)])
def test_hours_with_failures_and_kills_end_with_exactly_the_backups_that_the_policy_says(world, monkeypatch, hours, redis_servers, servers):
    seed = random.randrange(2**32)
    print("seed", seed)
    for name, value in world.variables.items():
        monkeypatch.setenv(name, value)
    end = lived_through(world, random.Random(seed), hours)
    records, policy = world.records(), load_policy(world.directory / "policy.yaml")
    done_when_due(world, records, policy, end)
    only_what_may_go_is_gone(world, records, policy)
    place = prune(world, policy)
    assert world.command("backups", "verify", "--all")[0] == 0
    restored(world, place, random.Random(seed), redis_servers, servers, samples=2 if hours < 24 else 5)
    alerts = [json.loads(line) for line in (world.directory / "alerts.log").read_text().splitlines()]
    print(Counter((a["alert"], a["state"]) for a in alerts))


def lived_through(world, generator, hours):
    """The agent is killed, and each server dies for 20 minutes, at random; then the agent is told to end."""
    world.clock = scaled_agent.Scaled(FACTOR, time.monotonic())
    end = world.clock.start + timedelta(hours=hours)
    room = timedelta(minutes=45)
    slots = generator.sample(range(1, int((end - world.clock.start - LATE) / room)), 3 + (hours > 24) * 6)
    events = [world.kill_agent, lambda: world.outage("redis"), lambda: world.outage("mongodb"), lambda: world.outage("files")]
    writing = threading.Thread(target=world.write, daemon=True)
    writing.start()
    world.start_agent()
    try:
        for number, slot in enumerate(sorted(slots)):
            wait_until(world.clock, world.clock.start + slot * room + generator.random() * timedelta(minutes=15))
            events[number % len(events)]()
            assert world.agent.poll() is None, (world.directory / "said").read_text()[-3000:]
        wait_until(world.clock, end)
    finally:
        world.stop.set()
        writing.join(60)
    world.agent.send_signal(signal.SIGTERM)
    assert world.agent.wait(180) == 0, (world.directory / "said").read_text()[-3000:]
    return end


def done_when_due(world, records, policy, end):
    """Each rule's every time is followed by its backup before the next one, and by one only unless the agent was killed then."""
    rules = [("backup", r.store, r.kind.value, r.schedule) for r in policy.backups if r.schedule != CONTINUOUS]
    rules += [("prune", None, None, "30 4 * * *"), ("verification", None, None, "0 5 * * 0")]
    for operation, store, kind, schedule in rules:
        own = [r for r in records if r["kind"] == f"{operation} done" and r.get("store") == store and r.get("backup_kind") == kind]
        moments = [datetime.fromisoformat(r["when"]) for r in own]
        due = monitor.next_due(schedule, world.clock.start)
        while due < end - LATE:
            after = monitor.next_due(schedule, due)
            count = sum(due <= moment < after for moment in moments)
            killed = sum(due <= moment < after for moment in world.kills)
            assert 1 <= count <= 1 + killed, (operation, store, kind, due, moments, world.kills)
            due = after


def only_what_may_go_is_gone(world, records, policy):
    """Of all that was ever taken by schedule: what is not there any more was let go by a prune, when it was old enough."""
    there = {m.id for m in world.listing().manifests}
    pruned = {b: datetime.fromisoformat(r["when"]) for r in records if r["kind"] == "prune begun" for b in r["backups"]}
    kept = {(r.store, r.kind.value): timedelta(seconds=r.retention) for r in policy.backups}
    for record in records:
        if record["kind"] == "backup done" and record["backup"] not in there:
            age = pruned[record["backup"]] - datetime.fromisoformat(record["when"])
            assert age > kept[record["store"], record["backup_kind"]] - timedelta(minutes=5), record
    assert not there & {b for r in records if r["kind"] == "prune done" for b in r["backups"]}


def prune(world, policy):
    """At one more moment, exactly: all that is young stays, with what it needs; of the old, only what something needs, and the newest base."""
    before, now = world.listing().manifests, world.clock.utc()
    env = scaled_agent.opened(scaled_agent.Fixed(now))
    place = env.vault(Where(config=world.directory / "drplatform.yaml")).repository
    env._prune(place)
    after = world.listing().manifests
    limit = {(r.store, r.kind): timedelta(seconds=r.retention) for r in policy.backups}
    young = {m.id for m in before if now - m.finished <= limit[m.store, m.kind]}
    assert young <= {m.id for m in after}
    needed = set()
    for store in policy.stores:
        bases = [m for m in before if m.store == store and m.kind in BASES]
        if bases:
            needed.add(max(bases, key=lambda m: m.finished).id)
        for piece in (m for m in before if m.store == store and m.id in young and m.kind not in BASES):
            was, now_is = chain_before(before, piece), chain_before(after, piece)
            assert was == now_is, f"{piece.id} has lost what it needs"
            needed |= was
    assert {m.id for m in after} == young | needed
    print("before", Counter((m.store, m.kind.value) for m in before), "after", Counter((m.store, m.kind.value) for m in after))
    return place


def chain_before(manifests, piece):
    for position in (piece.begin, piece.end):
        try:
            return {m.id for m in backup.chain_to(manifests, piece.store, position).backups}
        except errors.LogGap:
            continue
    return set()


def restored(world, place, generator, redis_servers, servers, samples):
    """Points of all kinds, restored: everything acknowledged before, and nothing from after."""
    identity = backups.read_identities(world.directory / "state/keys/identity.txt")
    opener = backups.Ring(identity, place)
    manifests = world.listing().manifests
    for store in ("mongodb", "redis"):
        own = [m for m in manifests if m.store == store]
        assert retention.reachable(own, store)
        pieces = [m for m in own if m.kind is BackupKind.LOG and chain_before(own, m)]
        chosen = [
            pieces[-1],
            *generator.sample(pieces, samples - 1),
            *generator.sample([m for m in own if m.kind is not BackupKind.LOG], 1),
        ]
        for manifest in chosen:
            point = restore_to(manifest, own, place, opener, redis_servers, servers)
            as_acknowledged(world, store, manifest.end.at, point)
    target = servers.fresh("s3", 0, start_s3, empty_s3)
    last = max((m for m in manifests if m.store == "files"), key=lambda m: m.finished)
    files = connect(target, CLOCK)
    backups.restore(backup.Chain(last), files, place, opener, backups.Lease("files", files.identity()), CLOCK)
    files.close()
    found = {
        int(o["Key"][6:]) for o in s3_client(target).list_objects_v2(Bucket="uploads").get("Contents", ()) if o["Key"].startswith("order-")
    }
    as_acknowledged(world, "files", last.end.at, found)


def restore_to(manifest, own, place, opener, redis_servers, servers):
    """The numbers that are there once the backup's end is restored into an empty server."""
    fresh = redis_servers().endpoint if manifest.store == "redis" else None
    target = fresh or servers.fresh("mongodb", 0, start_mongodb, empty_mongodb)
    store = connect(target, CLOCK)
    try:
        backups.restore(backups.chain_of(manifest, own), store, place, opener, backups.Lease(manifest.store, store.identity()), CLOCK)
    finally:
        store.close()
    if manifest.store == "mongodb":
        with mongodb_client(target) as client:
            return set(client.shop.orders.distinct("_id"))
    with redis.Redis(target.addresses[0].host, target.addresses[0].port) as client:
        return {int(key.partition(b":")[2]) for key in client.keys("order:*")}


def as_acknowledged(world, store, moment, found):
    """Within the seconds in which clocks and acknowledgements differ; Redis may lose the last second before a kill of its own."""
    times = [at for at, _ in world.written[store]]
    before = {n for at, n in world.written[store][: bisect.bisect_left(times, moment - 2)]}
    after = {n for at, n in world.written[store][bisect.bisect_left(times, moment + 2) :]}
    if store == "redis":
        before -= {n for at, n in world.written[store] if any(killed - 2 <= at <= killed + 1 for killed in world.killed_redis)}
    assert before <= found, (store, moment, sorted(before - found)[:9])
    assert not after & found, (store, moment, sorted(after & found)[:9])
    assert found or not before
