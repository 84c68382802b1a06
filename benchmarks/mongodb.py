"""Backup and restore of MongoDB beside what the server itself can do, and beside mongodump and mongorestore where these are on PATH.

    python benchmarks/mongodb.py [--sizes 100,400] [--rounds 3]

Sizes are MB of documents of about 1 KiB with two secondary indexes. Everything alternates within each round, on the same data and servers;
printed are medians, and ratios of them. Memory is the peak of a process that does nothing else.
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
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path[0] = str(Path(__file__).parents[1] / "tests")  # in place of this directory, in which redis.py is no client library

import bson
import pymongo
import real_servers
from bson.raw_bson import RawBSONDocument

from drplatform.engine import backups
from drplatform.model.backup import BackupKind, chain_to
from drplatform.model.ports import Address, Endpoint
from drplatform.repositories import directory
from drplatform.stores import mongodb

MB = 1_000_000
THREADS = 4


def fill(endpoint: Endpoint, size: int) -> None:
    generator = random.Random(size)
    with real_servers.mongodb_client(endpoint) as client:
        things = client.bench.things
        for begin in range(0, size // 1000, 1000):
            things.insert_many([_document(generator, begin + n) for n in range(1000)])
        things.create_index("account")
        things.create_index([("when", 1), ("kind", 1)])


def _document(generator: random.Random, number: int) -> dict[str, object]:
    words = " ".join(generator.choice(WORDS) for _ in range(70))
    return {
        "_id": number,
        "account": generator.randrange(10**6),
        "when": number,
        "kind": number % 7,
        "text": words,
        "noise": generator.randbytes(400),
    }


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


def child(action: str, endpoint: Endpoint, place: Path, keys: Path) -> int:
    """A backup or restore in a process of its own; its peak memory in MiB."""
    address = endpoint.addresses[0]
    command = [sys.executable, __file__, action, f"{address.host}:{address.port}", str(place), str(keys)]
    return int(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["mib"])


def perform(action: str, address: str, place: Path, keys: Path) -> None:
    host, port = address.split(":")
    store = mongodb.connect(Endpoint("mongodb", (Address(host, int(port)),)), real_servers.CLOCK)
    repository = directory.open(place, real_servers.CLOCK)
    (secret,) = backups.read_identities(keys)
    if action == "backup":
        backups.back_up(store, BackupKind.FULL, repository, [backups.public(secret)], real_servers.CLOCK, random.Random(1))
    else:
        chain = chain_to(backups.Catalogue(repository).read().manifests, "mongodb")
        lease = backups.Lease("mongodb", store.identity())
        backups.restore(chain, store, repository, backups.Opener((secret,)), lease, real_servers.CLOCK)
    print(json.dumps({"mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}))


def timed(act: Callable[[], object]) -> tuple[float, object]:
    began = time.monotonic()
    result = act()
    return time.monotonic() - began, result


# -- the run ----------------------------------------------------------------------------------------------------------------------


def run(size: int, rounds: int, base: Path) -> None:
    source, target = real_servers.start_mongodb(), real_servers.start_mongodb()
    keys = base / "identity.txt"
    public, secret = backups.generate()
    if not keys.exists():
        backups.write_identity(keys, secret, public)
    try:
        fill(source.endpoint, size)
        found = measure(source, target, rounds, base, keys)
    finally:
        source.close()
        target.close()
    show(size, found)


def measure(source: real_servers.Server, target: real_servers.Server, rounds: int, base: Path, keys: Path) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}

    def note(name: str, seconds: float) -> None:
        found.setdefault(name, []).append(seconds)

    for number in range(rounds):
        place = base / f"vault-{number}"
        note("read by one cursor, thrown away", timed(lambda: read_raw(source.endpoint))[0])
        note("dump, thrown away", timed(lambda: dump_only(source.endpoint))[0])
        seconds, mib = timed(lambda at=place: child("backup", source.endpoint, at, keys))  # type: ignore[misc]
        note("backup, compressed and encrypted", seconds)
        note("peak MiB of the backup", float(str(mib)))
        for name, options in (("mongodump", []), ("mongodump --gzip", ["--gzip"])):
            if shutil.which("mongodump"):
                note(name, timed(lambda o=options: _stock("mongodump", source, base, o))[0])  # type: ignore[misc]
        real_servers.empty_mongodb(target)
        load_raw(source.endpoint, target.endpoint)
        note("load of raw documents from memory, indexes after", load_raw.seconds)  # type: ignore[attr-defined]
        real_servers.empty_mongodb(target)
        seconds, mib = timed(lambda at=place: child("restore", target.endpoint, at, keys))  # type: ignore[misc]
        note("restore, decrypted and verified", seconds)
        note("peak MiB of the restore", float(str(mib)))
        if shutil.which("mongorestore"):
            real_servers.empty_mongodb(target)
            note(
                "mongorestore",
                timed(lambda: _stock("mongorestore", target, base, ["-j", "4", "--numInsertionWorkersPerCollection", "4"]))[0],
            )
        shutil.rmtree(place)
    return found


def _stock(tool: str, server: real_servers.Server, base: Path, options: list[str]) -> None:
    address = server.endpoint.addresses[0]
    where = ["--out", str(base / "stock")] if tool == "mongodump" else [str(base / "stock")]
    subprocess.run([tool, "--quiet", "--host", str(address), *options, *where], check=True)


def show(size: int, found: dict[str, list[float]]) -> None:
    print(f"\n{size // MB} MB in documents of about 1 KiB, medians of {len(next(iter(found.values())))} rounds")
    middle = {name: statistics.median(values) for name, values in found.items()}
    for name, value in middle.items():
        told = f"{value:8.0f}" if "MiB" in name else f"{value:8.2f} s  {size / MB / value:7.1f} MB/s"
        print(f"  {name:52} {told}   ({min(found[name]):.2f} to {max(found[name]):.2f})")
    for ours, theirs in (
        ("dump, thrown away", "read by one cursor, thrown away"),
        ("backup, compressed and encrypted", "read by one cursor, thrown away"),
        ("dump, thrown away", "mongodump"),
        ("backup, compressed and encrypted", "mongodump --gzip"),
        ("restore, decrypted and verified", "load of raw documents from memory, indexes after"),
        ("restore, decrypted and verified", "mongorestore"),
    ):
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
    told = parser.parse_args()
    for size in told.sizes.split(","):
        with tempfile.TemporaryDirectory(prefix="drplatform-bench-") as base:
            run(int(size) * MB, told.rounds, Path(base))


if __name__ == "__main__":
    main()
