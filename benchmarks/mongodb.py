"""Backup and restore of MongoDB beside what the server itself can do, and beside mongodump and mongorestore where these are on PATH.

    python benchmarks/mongodb.py [--sizes 100,400] [--rounds 3] [--document 1000] [--operations 20000]

Sizes are MB of documents of about 1 KB (or of about so many bytes) with two secondary indexes. Everything alternates within each round, on the same data; each
load is into a new server, as a recovery's is, which has nothing to do with what the one before has left. Printed are medians, and ratios of them. Memory is the peak of a process that does nothing else. Then so many operations of a log are replayed: inserts, updates,
deletes and transactions onto few documents, so that the time is that of the replay.
"""

import argparse
import json
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

sys.path[0] = str(Path(__file__).parents[1] / "tests")  # in place of this directory, in which redis.py is no client library

import bson
import pymongo
import real_servers
from bson.raw_bson import RawBSONDocument

from drplatform.engine import backups
from drplatform.model.backup import BackupKind, Chain, chain_to
from drplatform.model.ports import Address, Endpoint, LogBatch, Repository
from drplatform.model.position import Position
from drplatform.repositories import directory
from drplatform.stores import mongodb

MB = 1_000_000
THREADS = 4


def start_mongodb() -> real_servers.Server:
    """With a cache of the size and a journal of the kind that a server takes by itself: those of the tests have little of both."""
    return real_servers.start_mongodb(options=())


def fill(endpoint: Endpoint, size: int, document: int = 1000) -> None:
    generator = random.Random(size)
    with real_servers.mongodb_client(endpoint) as client:
        things = client.bench.things
        for begin in range(0, size // document, 1000):
            things.insert_many([a_document(generator, begin + n, document) for n in range(1000)], ordered=False)
        things.create_index("account")
        things.create_index([("when", 1), ("kind", 1)])


def a_document(generator: random.Random, number: int, size: int = 1000) -> dict[str, object]:
    room = max(0, size - 85)
    words = " ".join(generator.choices(WORDS, k=room * 6 // 100))
    fields = {"_id": number, "account": generator.randrange(10**6), "when": number, "kind": number % 7}
    return {**fields, "text": words, "noise": generator.randbytes(room * 2 // 5)}


WORDS = [f"{a}{b}{c}" for a in ("pre", "con", "re", "un") for b in ("fig", "lat", "mer", "tor") for c in ("ation", "ing", "ed", "able")]


# -- what is measured -------------------------------------------------------------------------------------------------------------


def read_raw(endpoint: Endpoint) -> None:
    """The server's own limit: one cursor, raw batches, thrown away."""
    with real_servers.mongodb_client(endpoint) as client:
        for _ in client.bench.things.find_raw_batches({}):
            pass


def load_raw(source: Endpoint, target: Endpoint) -> None:
    """The server's own limit: large inserts of raw documents from memory, then the indexes."""
    with real_servers.mongodb_client(source) as client:
        options = bson.codec_options.CodecOptions(document_class=RawBSONDocument)
        documents = list(client.bench.get_collection("things", codec_options=options).find())
    began = time.monotonic()
    with real_servers.mongodb_client(target) as client, ThreadPoolExecutor(THREADS) as pool:
        things = client.get_database("bench", write_concern=pymongo.WriteConcern(w=1)).things
        list(pool.map(lambda at: things.insert_many(documents[at : at + 2000], ordered=False), range(0, len(documents), 2000)))
        things.create_index("account")
        things.create_index([("when", 1), ("kind", 1)])
    load_raw.seconds = time.monotonic() - began  # type: ignore[attr-defined]


def dump_only(endpoint: Endpoint) -> None:
    """Our dump without compression and encryption, thrown away."""
    store = mongodb.connect(endpoint, real_servers.CLOCK)
    with store.dump() as dump, ThreadPoolExecutor(THREADS) as pool:
        ordered = list(dump.parts())
        for stage in sorted({part.stage for part in ordered}):
            list(pool.map(lambda part: [None for _ in part.blocks()], [p for p in ordered if p.stage == stage]))
        dump.finish()


def child(action: str, endpoint: Endpoint, place: Path, keys: Path) -> dict[str, float]:
    """A backup or restore in a process of its own: its seconds and processor seconds without the interpreter's start, its peak memory."""
    address = endpoint.addresses[0]
    command = [sys.executable, __file__, action, f"{address.host}:{address.port}", str(place), str(keys)]
    found: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return found


def perform(action: str, address: str, place: Path, keys: Path) -> None:
    host, port = address.split(":")
    store = mongodb.connect(Endpoint("mongodb", (Address(host, int(port)),)), real_servers.CLOCK)
    repository = directory.open(place, real_servers.CLOCK)
    (secret,) = backups.read_identities(keys)
    moments: dict[str, float] = {}
    told = lambda event, **detail: moments.setdefault(event, time.process_time())  # noqa: E731
    began, used = time.monotonic(), time.process_time()
    if action == "backup":
        backups.back_up(store, BackupKind.FULL, repository, [backups.public(secret)], real_servers.CLOCK, random.Random(1))
    else:
        chain = chain_to(backups.Catalogue(repository).read().manifests, "mongodb")
        lease = backups.Lease("mongodb", store.identity())
        backups.restore(chain, store, repository, backups.Opener((secret,)), lease, real_servers.CLOCK, progress=told)
    found = {"seconds": time.monotonic() - began, "cpu": time.process_time() - used, "mib": peak()}
    if moments:
        found["loading"] = moments["restore.end"] - moments["restore.begin"]
    print(json.dumps(found))


def peak() -> int:
    """Peak memory of this process in MiB (proc(5), VmHWM): what getrusage tells of a child counts its parent before the exec, too."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) // 1024


def timed(act: Callable[[], object]) -> tuple[float, object]:
    began = time.monotonic()
    result = act()
    return time.monotonic() - began, result


# -- the run ----------------------------------------------------------------------------------------------------------------------


def run(size: int, rounds: int, document: int, base: Path) -> None:
    keys = base / "identity.txt"
    public, secret = backups.generate()
    if not keys.exists():
        backups.write_identity(keys, secret, public)
    with closing(start_mongodb()) as source:
        fill(source.endpoint, size, document)
        found = measure(source, rounds, base, keys)
    show(size, document, found)


def measure(source: real_servers.Server, rounds: int, base: Path, keys: Path) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}

    def note(name: str, seconds: float) -> None:
        found.setdefault(name, []).append(seconds)

    def noted(name: str, told: dict[str, float]) -> None:
        note(name, told["seconds"])
        note(f"{name}: processor seconds", told["cpu"])
        if "loading" in told:
            note(f"{name}: those of loading alone", told["loading"])
        if "mib" in told:
            note(f"{name}: peak MiB", told["mib"])

    for number in range(rounds):
        place = base / f"vault-{number}"
        note("read by one cursor, thrown away", timed(lambda: read_raw(source.endpoint))[0])
        note("dump, thrown away", timed(lambda: dump_only(source.endpoint))[0])
        noted("backup, compressed and encrypted", child("backup", source.endpoint, place, keys))
        for name, options in (("mongodump", []), ("mongodump --gzip", ["--gzip"])):
            if shutil.which("mongodump"):
                noted(name, _stock("mongodump", source, base / name.replace(" ", ""), options))
        with closing(start_mongodb()) as target:
            load_raw(source.endpoint, target.endpoint)
        note("load of raw documents from memory, indexes after", load_raw.seconds)  # type: ignore[attr-defined]
        with closing(start_mongodb()) as target:
            noted("restore, decrypted and verified", child("restore", target.endpoint, place, keys))
        for name, options in (("mongorestore", []), ("mongorestore, w:1", ["--writeConcern", "{w: 1}"])):
            if shutil.which("mongorestore"):
                with closing(start_mongodb()) as target:
                    workers = ["-j", "4", "--numInsertionWorkersPerCollection", "4"]
                    noted(name, _stock("mongorestore", target, base / "mongodump", [*workers, *options]))
        shutil.rmtree(place)
    return found


def _stock(tool: str, server: real_servers.Server, place: Path, options: list[str]) -> dict[str, float]:
    address = server.endpoint.addresses[0]
    where = ["--out", str(place)] if tool == "mongodump" else [str(place)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds, _ = timed(lambda: subprocess.run([tool, "--quiet", "--host", str(address), *options, *where], check=True))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {"seconds": seconds, "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime}


# -- the log ----------------------------------------------------------------------------------------------------------------------


def work(endpoint: Endpoint, operations: int) -> None:
    """Mixed operations; each tenth is a transaction of three."""
    generator = random.Random(operations)
    with real_servers.mongodb_client(endpoint) as client:
        things = client.get_database("bench", write_concern=pymongo.WriteConcern(w=1)).things
        for number in range(0, operations, 30):
            begin = 10**9 + number
            things.insert_many([a_document(generator, begin + n, 300) for n in range(12)])
            for n in range(9):
                things.update_one({"_id": begin + n}, {"$set": {"text": "changed"}, "$inc": {"kind": 1}})
            things.delete_many({"_id": {"$gte": begin, "$lt": begin + 6}})
            with client.start_session() as session, session.start_transaction():
                for n in range(6, 9):
                    client.bench.things.update_one({"_id": begin + n}, {"$inc": {"when": 1}}, session=session)


def run_replay(operations: int, rounds: int, base: Path) -> None:
    """Ours from the vault, and mongorestore's of what is exported from the same vault."""
    source, target = start_mongodb(), start_mongodb()
    public, secret = backups.generate()
    clock, generator, vault, exported = real_servers.CLOCK, random.Random(1), base / "vault", base / "exported"
    try:
        fill(source.endpoint, MB, 1000)
        store, repository = mongodb.connect(source.endpoint, clock), directory.open(vault, clock)
        full = backups.back_up(store, BackupKind.FULL, repository, [public], clock, generator)
        work(source.endpoint, operations)
        count = seal(store, full.end, repository, public)
        chain, opener = chain_to(backups.Catalogue(repository).read().manifests, "mongodb"), backups.Opener((secret,))
        if shutil.which("mongorestore"):
            place = mongodb.connect(Endpoint("mongodb", (), {"directory": str(exported)}), clock)
            backups.restore(chain, place, repository, opener, backups.Lease("mongodb", place.identity()), clock)
        found: dict[str, list[float]] = {}
        for _ in range(rounds):
            real_servers.empty_mongodb(target)
            found.setdefault("replay", []).append(_replay(chain, mongodb.connect(target.endpoint, clock), repository, opener))
            if shutil.which("mongorestore"):
                real_servers.empty_mongodb(target)
                found.setdefault("mongorestore --oplogReplay", []).append(
                    _stock("mongorestore", target, exported, ["--oplogReplay"])["seconds"]
                )
    finally:
        source.close()
        target.close()
    print(f"\nReplay of {count} entries of the log, medians of {rounds} rounds")
    middle = {name: statistics.median(values) for name, values in found.items()}
    for name, value in middle.items():
        print(f"  {name:52} {value:8.2f} s  {count / value:7,.0f}/s   ({min(found[name]):.2f} to {max(found[name]):.2f})")
    if len(middle) == 2:
        ours, theirs = middle.values()
        print(f"  replay is {theirs / ours:.2f} times as fast as: mongorestore --oplogReplay")


def seal(store: mongodb.MongoStore, after: Position, repository: Repository, public: str) -> int:
    """The log up to now as a slice; how many entries."""
    stop, end, batches = threading.Event(), store.position(), list[LogBatch]()
    for batch in store.follow(after, stop):
        batches.append(batch)
        if batch.last >= end:
            stop.set()
    key, generator = backups.DataKey.make([public]), random.Random(2)
    for some in batched([b for b in batches if b.block], 4):
        backups.seal_log(store, store.identity(), some, key, [public], repository, real_servers.CLOCK, generator)
    return sum(batch.entries for batch in batches)


def batched(batches: list[LogBatch], count: int) -> list[list[LogBatch]]:
    return [batches[at : at + count] for at in range(0, len(batches), count)]


def _replay(chain: Chain, store: mongodb.MongoStore, repository: Repository, opener: backups.Opener) -> float:
    """Seconds from the first entry to the last."""
    moments: dict[str, float] = {}
    lease = backups.Lease("mongodb", store.identity())
    told = lambda event, **detail: moments.setdefault(event, time.monotonic())  # noqa: E731
    backups.restore(chain, store, repository, opener, lease, real_servers.CLOCK, progress=told)
    return moments["replay.end"] - moments["replay.begin"]


def show(size: int, document: int, found: dict[str, list[float]]) -> None:
    print(f"\n{size // MB} MB in documents of about {document} bytes, medians of {len(next(iter(found.values())))} rounds")
    middle = {name: statistics.median(values) for name, values in found.items()}
    for name, value in middle.items():
        told = f"{value:8.2f}" if ": " in name else f"{value:8.2f} s  {size / MB / value:7.1f} MB/s"
        print(f"  {name:52} {told}   ({min(found[name]):.2f} to {max(found[name]):.2f})")
    for ours, theirs in (
        ("dump, thrown away", "read by one cursor, thrown away"),
        ("backup, compressed and encrypted", "read by one cursor, thrown away"),
        ("dump, thrown away", "mongodump"),
        ("backup, compressed and encrypted", "mongodump --gzip"),
        ("restore, decrypted and verified", "load of raw documents from memory, indexes after"),
        ("restore, decrypted and verified", "mongorestore"),
        ("restore, decrypted and verified", "mongorestore, w:1"),
    ):
        used = [f"{name}: processor seconds" for name in (ours, theirs)]
        if all(name in middle for name in used):
            print(f"  {ours} takes {middle[used[0]] / middle[used[1]]:.2f} of the processor time of: {theirs}")
        if (loading := f"{ours}: those of loading alone") in middle and used[1] in middle:
            print(f"  loading alone, without its checks before and after, takes {middle[loading] / middle[used[1]]:.2f} of: {theirs}")
        if theirs in middle:
            print(f"  {ours} is {middle[theirs] / middle[ours]:.2f} times as fast as: {theirs}")
    if not shutil.which("mongodump"):
        print("  mongodump and mongorestore are not on PATH: only the server's own limits to compare with.")


def main() -> None:
    if sys.argv[1:2] in (["backup"], ["restore"]):
        perform(sys.argv[1], sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="100,400", help="MB of documents, comma separated")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--document", type=int, default=1000, help="bytes of a document")
    parser.add_argument("--operations", type=int, default=20_000, help="operations of the log; 0: none")
    told = parser.parse_args()
    if told.operations:
        with tempfile.TemporaryDirectory(prefix="drplatform-bench-") as base:
            run_replay(told.operations, told.rounds, Path(base))
    for size in filter(None, told.sizes.split(",")):
        with tempfile.TemporaryDirectory(prefix="drplatform-bench-") as base:
            run(int(size) * MB, told.rounds, told.document, Path(base))


if __name__ == "__main__":
    main()
