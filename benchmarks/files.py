"""Backups of file storage beside `rclone sync` from one S3 server to another, increments beside a bare listing, delta restores.

Two of ours stand beside rclone (on PATH; else our figures alone), which copies as it is: a backup, which compresses, encrypts and hashes into a
vault, and the replication's copy, which does none of that but the hash. Same data, same machine, taking turns; medians are compared. The
processor seconds are those of the side alone, without the two servers: they tell more than the clock where others use the machine.
The full sizes: --small 50000 --huge 20 --mib 256.
"""

import argparse
import itertools
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).resolve().parents[1] / "tests")

import real_servers
from real_servers import CLOCK, Server

from drplatform.engine import backups
from drplatform.engine.backups import reading
from drplatform.model.backup import BackupKind, Digest, Manifest
from drplatform.model.ports import ObjectChoice
from drplatform.repositories.s3 import S3Repository
from drplatform.stores import files
from drplatform.stores.files import digest, listing, replication
from drplatform.stores.files.content import Header

RECIPIENT, IDENTITY = backups.generate()
MIB = 1024 * 1024
COPIED = "uploads"


def timed(work: Callable[[], object]) -> float:
    begin = CLOCK.monotonic()
    work()
    return CLOCK.monotonic() - begin


def spent() -> float:
    """Processor seconds of this process and of those that it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


@dataclass(frozen=True)
class Took:
    seconds: float
    processor: float


def sides(rounds: int, between: Callable[[], object] = lambda: None, **works: Callable[[], object]) -> dict[str, Took]:
    """Medians of what each takes, taking turns. `between` is done after each, and not counted."""
    took: dict[str, list[Took]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            before = spent()
            seconds = timed(work)
            took[name].append(Took(seconds, spent() - before))
            between()
    return {
        name: Took(statistics.median(each.seconds for each in all_), statistics.median(each.processor for each in all_))
        for name, all_ in took.items()
    }


def say(what: str, found: dict[str, Took]) -> None:
    """Ratios are theirs to ours: above 1, ours is faster."""
    print(f"{what}: " + ", ".join(f"{name} {took.seconds:.2f} s (processor {took.processor:.2f} s)" for name, took in found.items()))
    for name, took in found.items():
        if "rclone" in found and name != "rclone":
            print(f"  rclone to {name}: ratio {found['rclone'].seconds / took.seconds:.2f}", flush=True)
    if "rclone" not in found:
        print("  rclone is not on PATH: nothing to compare with", flush=True)


def rclone(source: Server, target: Server) -> Callable[[str], object] | None:
    program = shutil.which("rclone")
    if program is None:
        return None
    environment = {"PATH": os.environ["PATH"]}
    for name, server in (("SRC", source), ("DST", target)):
        keys = server.endpoint.credentials
        settings = {"TYPE": "s3", "PROVIDER": "Other", "ENDPOINT": f"http://{server.endpoint.addresses[0]}", "FORCE_PATH_STYLE": "true"}
        settings |= {"ACCESS_KEY_ID": keys.user, "SECRET_ACCESS_KEY": keys.password.reveal()}
        environment |= {f"RCLONE_CONFIG_{name}_{key}": value for key, value in settings.items()}

    def sync(bucket: str) -> object:
        command = [program, "sync", "src:uploads", f"dst:{bucket}", "--config", "/dev/null"]
        return subprocess.run(command, env=environment, check=True, timeout=3600)

    return sync


class Bench:
    def __init__(self, source: Server, vault: Server, rounds: int) -> None:
        self.source, self.vault, self.rounds = source, vault, rounds
        self.store = files.connect(source.endpoint, CLOCK)
        self.client = real_servers.s3_client(vault.endpoint)
        self.sync = rclone(source, vault)
        self.number = 0

    def bucket(self) -> str:
        self.number += 1
        self.client.create_bucket(Bucket=f"bench-{self.number}")
        return f"bench-{self.number}"

    def back_up(self, bucket: str) -> Manifest:
        repository = S3Repository(self.client, bucket, CLOCK)
        return backups.back_up(self.store, BackupKind.FULL, repository, [RECIPIENT], CLOCK, random.Random(1))

    def first_backup(self, what: str) -> None:
        works: dict[str, Callable[[], object]] = {"backup": lambda: self.back_up(self.bucket()), "copy": self.copy}
        if self.sync:
            works["rclone"] = lambda: self.sync(self.bucket())
        say(f"first backup of {what}", sides(self.rounds, lambda: clear(self.client, COPIED), **works))

    def copy(self) -> None:
        """As it is, by the replication, into a bucket of the same name."""
        stop = threading.Event()
        (one,) = itertools.islice(replication.follow(self.store._s3, self.client, (COPIED,), CLOCK, stop, 1.0), 1)
        assert one.copied and not one.problem, one

    def increment(self) -> None:
        parts = self.parts()

        def dump() -> None:
            with self.store.increment(parts) as increment:
                for part in increment.parts():
                    for _ in part.blocks():
                        pass
                print(f"  unchanged {increment.finish().counts['unchanged']}", flush=True)

        def bare() -> None:
            for bucket in self.store.buckets:
                sum(1 for _ in listing.protected(self.store._s3, bucket))

        found = sides(self.rounds, ours=dump, listing=bare)
        print(
            f"increment with nothing changed: {found['ours'].seconds:.2f} s (processor {found['ours'].processor:.2f} s), "
            f"{found['ours'].seconds / found['listing'].seconds:.2f} times a bare listing (processor {found['listing'].processor:.2f} s)",
            flush=True,
        )

    def delta(self, small: int) -> None:
        parts = self.parts()
        for share in (0.0, 0.01, 0.1):
            for number in range(int(small * share)):
                self.store._s3.put_object(Bucket="uploads", Key=f"small/{number:06d}", Body=b"changed")
            seconds = timed(lambda: print(f"  {self.store.reconcile([parts], ObjectChoice(delete=True))}", flush=True))
            print(f"restore of {share:.0%} changed objects: {seconds:.2f} s", flush=True)

    def parts(self) -> list[tuple[str, list[bytes]]]:
        bucket = self.bucket()
        manifest = self.back_up(bucket)
        found = reading.parts(manifest, S3Repository(self.client, bucket, CLOCK), backups.Opener([IDENTITY]))
        return [(name, list(blocks)) for name, blocks in found]

    def round_trip(self) -> None:
        """From the vault into empty buckets, read back."""
        bucket = self.bucket()
        manifest = self.back_up(bucket)
        repository = S3Repository(self.client, bucket, CLOCK)
        beside = real_servers.start_s3()
        try:
            target = files.connect(beside.endpoint, CLOCK)
            chain, lease = backups.Catalogue(repository).chain_to("files"), backups.Lease("files", target.identity())
            ended: list[Mapping[str, Digest]] = []
            opener = backups.Opener([IDENTITY])
            seconds = timed(lambda: ended.append(backups.restore(chain, target, repository, opener, lease, CLOCK).digests))
            different = backups.differing(opener, manifest, ended[0])
            print(
                f"whole restore, read back: {seconds:.2f} s, {'DIFFERENT: ' + ', '.join(different) if different else 'equal'}", flush=True
            )
        finally:
            beside.close()


def fill(bench: Bench, prefix: str, count: int, size: int) -> None:
    """No two objects are alike, and none can be compressed."""
    rest = random.Random(size).randbytes(min(size, 64 * MIB) - 8) + bytes(8)

    def put(number: int) -> None:
        header = Header(f"{prefix}/{number:06d}", size, "", "", "application/pdf")
        content = random.Random(number).randbytes(size) if size < MIB else (number.to_bytes(8) + rest * (size // len(rest) + 1))[:size]
        files.upload.put(bench.store._s3, "uploads", header, content)

    for _ in digest.in_parallel(range(count), put, 8 if size < MIB else 2):
        pass


def clear(client: Any, bucket: str) -> None:
    keys = (entry.key for entry in listing.protected(client, bucket))
    for _ in digest.in_parallel(keys, lambda key: client.delete_object(Bucket=bucket, Key=key), 8):
        pass


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    for name, usual in (("small", 5000), ("huge", 4), ("mib", 64), ("rounds", 3)):
        asked.add_argument(f"--{name}", type=int, default=usual)
    wanted = asked.parse_args()
    source, vault = real_servers.start_s3(), real_servers.start_s3()
    try:
        bench = Bench(source, vault, wanted.rounds)
        if wanted.small:
            fill(bench, "small", wanted.small, 4096)
            bench.first_backup(f"{wanted.small} x 4 KiB")
            bench.increment()
            bench.delta(wanted.small)
            clear(bench.store._s3, COPIED)
        if wanted.huge:
            fill(bench, "huge", wanted.huge, wanted.mib * MIB)
            bench.first_backup(f"{wanted.huge} x {wanted.mib} MiB")
            bench.round_trip()
    finally:
        source.close(), vault.close()


if __name__ == "__main__":
    main()
