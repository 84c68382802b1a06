"""A platform with something in it for faults to hurt, and looks at it that use none of the faults' own means."""

import contextlib
import os
import random
from pathlib import Path

import pymongo
import pymongo.errors
import redis
from real_servers import CLOCK, s3_client
from redis.backoff import NoBackoff
from redis.retry import Retry

from drplatform import environment
from drplatform.engine import backups
from drplatform.engine.capture import Capture
from drplatform.model import clock as clocks
from drplatform.model import drill, errors, ledger, ports
from drplatform.model.backup import BackupKind
from drplatform.platforms.embedded.platform import EmbeddedPlatform

KINDS = {"mongodb": BackupKind.FULL, "redis": BackupKind.SNAPSHOT, "files": BackupKind.FULL}
MARKS = "drplatform.marks"


class World:
    """Enter it: everything runs, holds something, and is backed up."""

    def __init__(self, directory: Path, platform: ports.Platform | None = None) -> None:
        self.directory = directory
        self._made = platform or EmbeddedPlatform.create(CLOCK, directory / "base", {}, os.environ, frozenset({drill.NAMES}))
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> "World":
        self.platform = self._stack.enter_context(self._made)
        self.configuration = self.directory / "configuration"
        self.configuration.mkdir()
        described = ports.Endpoint("configuration", (), {"directory": str(self.configuration)})
        endpoints = [*(self.platform.endpoint(kind) for kind in KINDS), described]
        self.stores = {e.kind: environment.connect(e, CLOCK) for e in endpoints}
        self.repository = environment.repository(self.platform.vault(), CLOCK)
        self.scene = ports.Scene(self.platform, self.stores, CLOCK, self.repository)
        self.recipient, self.identity = backups.generate()
        for store in self.stores.values():
            store.seed(7, 60)
        self.write(20)
        return self

    def __exit__(self, *exc: object) -> None:
        for store in self.stores.values():
            store.close()
        self._stack.__exit__(*exc)

    # -- content -----------------------------------------------------------------------------------------------------------------

    def write(self, count: int) -> None:
        """So many more writes of a client of the ledger into each store, beginning where it left off."""
        for name in KINDS:
            self.write_to(name, count)

    def write_to(self, name: str, count: int) -> None:
        store = self.stores[name]
        client = f"client-{random.Random(len(list(store.marks()))).getrandbits(40):x}"
        marker = store.marker(client)
        for number in range(1, count + 1):
            payload = ledger.payload(client, number, 7)
            clocks.wait_for(
                CLOCK,
                f"{name} to take a write",
                lambda n=number, p=payload: self._written(marker, ledger.Mark(client, n, ledger.digest(p)), p),
                within=60,
                ignoring=(errors.StoreError,),
            )
        marker.close()

    def _written(self, marker: ports.Marker, mark: ledger.Mark, payload: bytes) -> bool:
        marker.write(mark, payload)
        return True

    def back_up(self, name: str) -> None:
        backups.back_up(self.stores[name], KINDS[name], self.repository, [self.recipient], CLOCK, random.Random())

    def capture(self, name: str, slices: int) -> None:
        """So many slices of the store's log, from its newest backup on."""
        after = backups.Catalogue(self.repository).chain_to(name).end
        one = Capture(self.stores[name], self.repository, [self.recipient], CLOCK, random.Random(), after, seal_seconds=0.01)
        one.start()
        for _ in range(slices):
            reached = one.reached
            self.write_to(name, 3)
            clocks.wait_for(CLOCK, "a slice", lambda r=reached: one.reached != r or one.error, within=60)
        one.stop()

    def settle(self) -> None:
        """Until every server runs and every store takes writes again."""
        for region in self.platform.regions:
            for server in region.instances:
                if not server.running():
                    server.start()
        self.write(1)
        clocks.wait_for(CLOCK, "MongoDB to be whole", lambda: states(self) <= {"PRIMARY", "SECONDARY"}, within=60, ignoring=_AWAY)
        clocks.wait_for(
            CLOCK, "the replica to follow", lambda: replica(self).info()["master_link_status"] == "up", within=60, ignoring=_AWAY
        )

    def server(self, kind: str, region: str = "primary"):
        return next(r for r in self.platform.regions if r.name == region).of(kind)[0]


_AWAY = (pymongo.errors.PyMongoError, redis.RedisError, OSError)

# -- looks, by other means than the faults use ---------------------------------------------------------------------------------------


def mongodb(world: World) -> "pymongo.MongoClient":
    endpoint = world.platform.endpoint("mongodb")
    hosts = [str(address) for address in endpoint.addresses]
    return pymongo.MongoClient(hosts, replicaSet=endpoint.options["replica_set"], serverSelectionTimeoutMS=30000)


def states(world: World) -> set[str]:
    with mongodb(world) as client:
        return {m["stateStr"] for m in client.admin.command("replSetGetStatus")["members"]}


def marks(world: World) -> list[dict]:
    with mongodb(world) as client:
        database, _, name = MARKS.partition(".")
        return list(client[database][name].find())


def client_of(address: ports.Address, **options) -> redis.Redis:
    return redis.Redis(address.host, address.port, socket_timeout=3, socket_connect_timeout=3, retry=Retry(NoBackoff(), 0), **options)


def cache(world: World) -> redis.Redis:
    return client_of(world.platform.endpoint("redis").addresses[0])


def replica(world: World) -> redis.Redis:
    return client_of(world.server("redis", "secondary").address)


def objects(world: World, bucket: str = "uploads") -> dict[str, bytes]:
    s3 = s3_client(world.platform.endpoint("files"))
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    keys = [
        o["Key"] for page in pages for o in page.get("Contents", ()) if not o["Key"].startswith((".drplatform/probe", ".drplatform/id"))
    ]
    return {key: s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}


def vault(world: World) -> dict[str, str]:
    """Entity tags of all objects in the vault."""
    endpoint = world.platform.vault()
    pages = s3_client(endpoint).get_paginator("list_objects_v2").paginate(Bucket=endpoint.options["bucket"])
    return {o["Key"]: o["ETag"] for page in pages for o in page.get("Contents", ())}


def files_of(world: World, section: str) -> dict[str, bytes]:
    found = (world.configuration / section).rglob("*")
    return {str(p): p.read_bytes() for p in found if p.is_file() and not p.is_symlink()}


def pids(world: World, *servers) -> list[int]:
    """Processes whose working directory is that of one of the servers."""
    wanted = {str(world.platform.directory / s.name) for s in servers}
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            where = str((process / "cwd").readlink())
            if (
                any(where == w or where.startswith(f"{w}/") for w in wanted)
                and (process / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
            ):
                found.append(int(process.name))
    return sorted(found)
