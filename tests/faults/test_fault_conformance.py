"""Every fault there is, on real servers: captured, applied, confirmed by other means than its own, healed, confirmed healed, and
inconclusive when it was sabotaged so that it does nothing.

`Case.look` says what somebody sees who knows nothing of the fault; it is taken before and after, and has to differ.
"""

import dataclasses
import datetime
import hashlib
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fault_world as worlds
import pymongo
import pytest
import redis
from fault_world import World
from real_servers import CLOCK, s3_client
from redis.backoff import NoBackoff
from redis.retry import Retry

from drplatform import environment, injection
from drplatform.engine import backups, capabilities, faulting, guardrails
from drplatform.model import clock as clocks
from drplatform.model import drill, errors, ports, powers
from drplatform.model.backup import BackupKind
from drplatform.model.timeline import Timeline
from drplatform.platforms.embedded import skewing
from drplatform.platforms.embedded.process import accepts, tagged
from drplatform.traffic import rfc2136


@dataclass(frozen=True)
class Case:
    """`undone`: healing brings back what `look` saw; else only a recovery would. `prepare` makes what the fault is to hurt."""

    look: Callable[[World], Any]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    undone: bool = True
    prepare: Callable[[World], Any] = lambda world: None


def alive(*kinds: str) -> Callable[[World], Any]:
    return lambda w: len(worlds.pids(w, *(s for r in w.platform.regions if r.name == "primary" for s in r.instances if s.kind in kinds)))


def answers_ping(world: World) -> bool:
    """A client with two seconds of patience gets an answer from the first MongoDB member."""
    address = world.server("mongodb").address
    try:
        with pymongo.MongoClient(
            address.host, address.port, directConnection=True, serverSelectionTimeoutMS=2000, socketTimeoutMS=2000
        ) as one:
            return bool(one.admin.command("ping")["ok"])
    except pymongo.errors.PyMongoError:
        return False


def takes_a_connection(world: World) -> bool:
    """A new client of Redis gets an answer."""
    try:
        with worlds.cache(world) as one:
            return bool(one.ping())
    except worlds._AWAY:
        return False


def slow(world: World) -> bool:
    """An answer of Redis over a connection that is there takes more than half a second."""
    with worlds.cache(world) as one:
        one.ping()
        begin = CLOCK.monotonic()
        one.ping()
        return CLOCK.monotonic() - begin > 0.6


def stalls(world: World) -> bool:
    """One of a few clients of Redis waits for more than a second."""
    address = world.server("redis").address
    for _ in range(3):
        try:
            redis.Redis(address.host, address.port, socket_timeout=1, retry=Retry(NoBackoff(), 0)).ping()
        except redis.TimeoutError:
            return True
    return False


def narrow(world: World) -> bool:
    """Four kilobytes to Redis and back take more than two seconds."""
    address = world.server("redis").address
    with redis.Redis(address.host, address.port, socket_timeout=30) as one:
        one.ping()
        begin = CLOCK.monotonic()
        one.echo(b"4" * 4096)
        return CLOCK.monotonic() - begin > 2


def writes_to_disk(world: World) -> bool:
    """Redis can rewrite its append-only file: the server says how the last time went."""
    with worlds.cache(world) as one:
        try:
            one.bgrewriteaof()
        except redis.ResponseError:
            return False
        clocks.wait_for(
            CLOCK,
            "the rewrite to end",
            lambda: not one.info("persistence")["aof_rewrite_in_progress"] and not one.info("persistence")["aof_rewrite_scheduled"],
            within=30,
        )
        return one.info("persistence")["aof_last_bgrewrite_status"] == "ok"


def vault_takes(world: World) -> bool:
    endpoint = world.platform.vault()
    try:
        s3_client(endpoint).put_object(Bucket=endpoint.options["bucket"], Key=f"try/{CLOCK.monotonic()}", Body=b"1" * 100)
    except Exception:  # noqa: BLE001 -- refused, however
        return False
    return True


def vault_answers(world: World) -> bool:
    return accepts(world.platform.vault().addresses[0])


def busy(world: World) -> int:
    """Processes of Python that carry the platform's tag and are no servers."""
    known = {p for region in world.platform.regions for s in region.instances for p in worlds.pids(world, s)}
    known |= set(worlds.pids(world, world.platform.vault_server))
    return len([pid for pid, tag in tagged() if tag == str(world.platform.directory) and pid.number not in known])


def two_of(store: str) -> Callable[[World], Any]:
    def prepare(world: World) -> None:
        listed = [k for k in worlds.vault(world) if k.startswith(f"{store}/") and k.endswith("manifest.json") and "/log/" not in k]
        for _ in range(2 - len(listed)):
            world.back_up(store)

    return prepare


def slices_of(store: str) -> Callable[[World], Any]:
    def prepare(world: World) -> None:
        two_of(store)(world)
        if sum("/log/" in k for k in worlds.vault(world)) < 6:
            world.capture(store, 4)

    return prepare


def contents(world: World) -> dict[Any, Any]:
    return {d["_id"]: d for d in worlds.marks(world)}


def of_marks(world: World) -> Any:
    return sorted(map(str, contents(world).items()))


def damaged(kind: str, *patterns: str) -> Callable[[World], Any]:
    """Digests of the data files of the primary region's first server of this kind."""

    def look(world: World) -> Any:
        disk = world.server(kind).disk
        return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for pattern in patterns for p in disk.rglob(pattern)}

    return look


def logged_ahead(*kinds: str) -> Callable[[World], Any]:
    """By how many half minutes the last line of each server's log is ahead of this machine's clock."""

    def look(world: World) -> Any:
        found = {}
        for server in (s for region in world.platform.regions for s in region.instances if s.kind in kinds):
            with pymongo.MongoClient(server.address.host, server.address.port, directConnection=True) as one:
                one.admin.command("ping")  # a connection is logged
            last = (server.directory / "log").read_text().rpartition("\n")[0].splitlines()[-1]
            logged = datetime.datetime.fromisoformat(json.loads(last)["t"]["$date"])
            found[server.name] = round((logged - CLOCK.utc()).total_seconds() / 30)
        return found

    return look


def resolved(world: World) -> Any:
    """Where clients find Redis by its public name."""
    try:
        return rfc2136.connect(world.platform.names(), CLOCK).lookup("redis").addresses
    except errors.StoreError:
        return ()


def named(world: World) -> None:
    rfc2136.connect(world.platform.names(), CLOCK).point("redis", world.platform.endpoint("redis").addresses)


def everywhere_soon(world: World) -> bool:
    """All members have a write within six seconds."""
    with worlds.mongodb(world) as client:
        one = client["looked_at"].get_collection("writes", write_concern=pymongo.WriteConcern(w=3, wtimeout=6000))
        try:
            one.insert_one({})
        except pymongo.errors.WTimeoutError:
            return False
    return True


def increments_lead_on(world: World) -> bool:
    """What changed since the newest backup can still be had."""
    opener = backups.Opener([world.identity])
    keys = [world.recipient]
    try:
        backups.back_up(world.stores["mongodb"], BackupKind.INCREMENTAL, world.repository, keys, CLOCK, random.Random(), opener=opener)
        return True
    except errors.LogGap:
        return False


BACKUP = {"look": worlds.vault, "prepare": two_of("mongodb")}
CASES = {
    "machine-busy": Case(busy, {"mebibytes": 16}),
    "index-dropped": Case(lambda w: index_names(w), {"namespace": "drill_reference"}, undone=False),
    "documents-deleted": Case(of_marks, {"share": 0.5}, undone=False),
    "documents-overwritten": Case(of_marks, {"share": 0.5}, undone=False),
    "fields-corrupted": Case(of_marks, {"share": 0.3}, undone=False),
    "collection-dropped": Case(lambda w: w.stores["mongodb"].namespaces().get(worlds.MARKS, ""), undone=False),
    "replication-stopped": Case(lambda w: worlds.replica(w).info("replication")["role"]),
    "replication-delayed": Case(everywhere_soon, {"seconds": 20}),
    "oplog-overrun": Case(lambda w: increments_lead_on(w), prepare=two_of("mongodb"), undone=False),
    "dns-server-down": Case(resolved, prepare=named),
    "dns-wrong-answer": Case(resolved, prepare=named),
    "keys-evicted": Case(lambda w: worlds.cache(w).config_get("maxmemory")["maxmemory"]),
    "redis-flushed": Case(lambda w: worlds.cache(w).dbsize(), undone=False, prepare=lambda w: w.stores["redis"].seed(8, 30)),
    "objects-overwritten": Case(worlds.objects, {"share": 0.5}, undone=False),
    "objects-truncated": Case(worlds.objects, {"share": 0.5}, undone=False),
    "ransomware": Case(worlds.objects, {"share": 0.5, "suffix": ".locked"}, undone=False),
    "bucket-emptied": Case(worlds.objects, undone=False),
    "configuration-wrong": Case(lambda w: worlds.files_of(w, "environment"), undone=False),
    "secret-rotated-away": Case(lambda w: worlds.files_of(w, "secrets"), undone=False),
    "backup-bit-flipped": Case(**BACKUP),
    "backup-truncated": Case(**BACKUP),
    "backup-part-missing": Case(**BACKUP),
    "backup-parts-swapped": Case(**BACKUP),
    "backup-part-duplicated": Case(**BACKUP),
    "backup-parts-reordered": Case(**BACKUP),
    "manifest-stale": Case(**BACKUP),
    "manifest-forged": Case(**BACKUP),
    "backup-deleted": Case(**BACKUP),
    "backup-wrong-key": Case(**BACKUP),
    "backup-credentials-stolen": Case(**BACKUP),
    "retention-poisoned": Case(**BACKUP),
    "log-gap": Case(worlds.vault, prepare=slices_of("mongodb")),
    "vault-full": Case(vault_takes),
    "vault-unreachable": Case(vault_answers),
    "descriptors-exhausted": Case(takes_a_connection),
    "disk-full": Case(writes_to_disk),
    "network-cut": Case(takes_a_connection),
    "network-slow": Case(lambda w: slow(w), {"seconds": 0.4}),
    "network-lossy": Case(stalls, {"share": 0.95}),
    "network-narrow": Case(narrow, {"rate": 2048.0}),
    "region-partitioned": Case(lambda w: worlds.replica(w).info("replication")["master_link_status"], undone=False),
    "connections-reset": Case(takes_a_connection),
    "server-hung": Case(answers_ping),
    "server-killed": Case(lambda w: len(worlds.pids(w, w.server("mongodb")))),
    "server-restarting": Case(lambda w: worlds.pids(w, w.server("redis")), undone=False),
    "region-killed": Case(alive("mongodb", "redis", "files")),
    "clock-skewed": Case(logged_ahead("mongodb"), {"seconds": 90.0}),
    "aof-damaged": Case(damaged("redis", "*.incr.aof"), undone=False),
    "rdb-damaged": Case(damaged("redis", "*.rdb"), undone=False),
    "wiredtiger-damaged": Case(damaged("mongodb", "collection-*.wt"), undone=False),
    "servers-lost": Case(alive("redis"), {"stores": ("redis",)}),
    "region-lost": Case(alive("mongodb", "redis", "files")),
}
"""In this order on one platform: what lets go of disks comes last."""


def index_names(world: World) -> list[str]:
    with worlds.mongodb(world) as client:
        return sorted(
            f"{d}.{c}/{i}"
            for d in client.list_database_names()
            if d not in ("admin", "local", "config")
            for c in client[d].list_collection_names()
            for i in _indexes(client[d][c])
        )


def _indexes(collection) -> list[str]:
    try:
        return list(collection.index_information())
    except pymongo.errors.OperationFailure:  # a view
        return []


LONG = ("oplog-overrun",)
"""Writes three gigabytes: no server allows an oplog of less than 990 MiB."""

ON_CLUSTERS = ("pod-killed", "node-drained", "node-lost", "namespace-deleted")
"""Have their cases in test_kubernetes_faults.py."""


def test_every_fault_has_a_case():
    assert {*CASES, *ON_CLUSTERS} == set(environment.fault_kinds())


def made(kind: str, case: Case, world: World) -> ports.Fault:
    parameters = dict(case.parameters)
    if parameters.get("namespace") == "drill_reference":
        parameters["namespace"] = next(n.partition("/")[0] for n in index_names(world) if not n.endswith("/_id_") and "drplatform" not in n)
    return environment.fault(kind)(**parameters)


@pytest.mark.parametrize("kind", [pytest.param(kind, marks=(pytest.mark.soak,) if kind in LONG else ()) for kind in CASES])
def test_a_fault_is_captured_applied_confirmed_and_healed(world, tmp_path, kind):
    conform(world, tmp_path, kind, CASES[kind])


def conform(world: World, tmp_path: Path, kind: str, case: Case) -> None:
    world.settle()
    case.prepare(world)
    fault = made(kind, case, world)
    assert fault.kind == kind
    missing = fault.needs() - capabilities.offered(world.platform, world.stores, ())
    if any(one.startswith(drill.SKEWABLE) for one in missing):
        pytest.skip("no library libfaketime is installed")
    assert not missing
    assert_sabotage_is_inconclusive(fault, world, tmp_path)
    journal = tmp_path / "faults.jsonl"
    before, aim = case.look(world), fault.aim(world.scene)
    assert isinstance(fault, powers.Aimed) and aim.targets and 0 < aim.share <= 1
    faults = faulting.Faulting(world.scene, journal, CLOCK, Timeline(CLOCK))
    effect = faults.inflict(fault)
    assert effect.receipt.targets, "a receipt for N > 0 targets"
    assert case.look(world) != before, "seen by other means than the fault's own"
    (entry,) = faulting.pending(journal)
    json.dumps(entry.before)
    assert entry.kind == kind
    (healed,) = faulting.replay(journal, world.scene, environment.fault)  # as another process does after this one was killed
    assert healed.kind == kind and not faulting.pending(journal)
    assert fault.healed(world.scene, entry.before)
    if case.undone:
        assert case.look(world) == before
    assert not faulting.replay(journal, world.scene, environment.fault)


def test_a_replica_that_was_promoted_since_is_left_alone_when_its_replication_is_healed(world):
    """To have it follow the old primary again, which may follow it by now, would leave nobody who accepts writes."""
    world.settle()
    fault = environment.fault("replication-stopped")(store="redis")
    before = fault.capture(world.scene)
    fault.apply(world.scene)
    world.platform.serve_from("secondary", "redis")
    try:
        assert fault.healed(world.scene, before)
        fault.heal(world.scene, before)
        assert worlds.replica(world).info("replication")["role"] == "master"
    finally:
        world.platform.serve_from("primary", "redis")
    assert not fault.healed(world.scene, before)
    fault.heal(world.scene, before)
    clocks.wait_for(CLOCK, "the replica to follow again", lambda: fault.healed(world.scene, before), within=30)


def test_what_is_missing_for_a_wrong_clock_is_told_before_anything_is_touched(world, monkeypatch):
    monkeypatch.setattr(skewing, "library", lambda: None)
    guard = environment.guard(guardrails.Limits(), None, None)
    with pytest.raises(errors.PlanError, match=r"skewable:primary \(install libfaketime"):
        injection.aim(environment.fault("clock-skewed")(), world.scene, guard)


def test_the_clock_of_file_storage_cannot_be_set_wrong_and_a_small_error_cannot_be_seen(world):
    for parameters, told in (({"stores": ("files",)}, "take stores"), ({"seconds": 1.0}, "5 seconds at least")):
        with pytest.raises(errors.SettingsError, match=told):
            environment.fault("clock-skewed")(**parameters).capture(world.scene)


@pytest.mark.parametrize(("kind", "told"), [("replication-delayed", "network-slow"), ("oplog-overrun", "only MongoDB")])
def test_what_only_mongodb_has_is_refused_for_others_before_anything_is_touched(world, kind, told):
    with pytest.raises(errors.SettingsError, match=told):
        environment.fault(kind)(store="redis").aim(world.scene)


def test_replicas_of_redis_follow_late_behind_a_slow_network(world, tmp_path):
    """Lag by force: the primary has a write at once, its replica only after the delay."""
    world.settle()
    fault = environment.fault("network-slow")(sources=("secondary",), seconds=1.0)
    with faulting.Faulting(world.scene, tmp_path / "faults.jsonl", CLOCK, Timeline(CLOCK)) as faults:
        faults.inflict(fault)
        clocks.wait_for(CLOCK, "the replica to follow", lambda: worlds.replica(world).info()["master_link_status"] == "up", within=60)
        with worlds.cache(world) as one:
            one.set("late", "yes")
            assert one.wait(1, 500) == 0, "no replica has it half a second later"
        clocks.wait_for(CLOCK, "the write to come late", lambda: worlds.replica(world).get("late"), within=60)
    worlds.cache(world).delete("late")


def assert_sabotage_is_inconclusive(fault: ports.Fault, world: World, directory) -> None:
    """The same fault with an `apply` that does nothing."""
    saw = []

    def apply(self, scene):
        saw.append((directory / "sabotaged.jsonl").read_text())

    sabotaged = dataclasses.make_dataclass("Sabotaged", [], bases=(type(fault),), namespace={"apply": apply}, frozen=True)
    values = {f.name: getattr(fault, f.name) for f in dataclasses.fields(fault)}
    patience, faulting.SECONDS_TO_CONFIRM = faulting.SECONDS_TO_CONFIRM, 0.2
    try:
        faults = faulting.Faulting(world.scene, directory / "sabotaged.jsonl", CLOCK, Timeline(CLOCK))
        with faults, pytest.raises(errors.FaultNotConfirmed, match="independent look"):
            faults.inflict(sabotaged(**values))
    finally:
        faulting.SECONDS_TO_CONFIRM = patience
    assert fault.kind in saw[0], "journalled before it is applied"
