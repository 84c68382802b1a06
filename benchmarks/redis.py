"""Snapshots of Redis beside `valkey-cli --rdb` or `redis-cli --rdb`, and restores over the network beside a server's own start.

Ours are stored compressed and encrypted; the stock tool (on PATH; else our figures alone) writes a plain file. Same data, same machine,
taking turns; medians are compared. Where others use the machine, the processor seconds of our own process tell more than the clock. Last: seconds from a write's acknowledgement to its arrival in the capture.
"""

import argparse
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1] / "tests")

import real_servers
import redis
from real_servers import CLOCK, Server

from drplatform.engine import backups
from drplatform.model import ledger
from drplatform.model.backup import BackupKind
from drplatform.model.ledger import Mark
from drplatform.repositories import directory as directories
from drplatform.stores import redis as stores

RECIPIENT, IDENTITY = backups.generate()
VALUE_BYTES = 400


def timed(work: Callable[[], object]) -> float:
    begin = CLOCK.monotonic()
    work()
    return CLOCK.monotonic() - begin


def spent() -> float:
    """Processor seconds of this process and of those that it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def sides(rounds: int, **works: Callable[[], float]) -> dict[str, float]:
    """Medians of the seconds that each tells, taking turns."""
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            before = spent()
            seconds[name].append(work())
            print(f"  {name} {seconds[name][-1]:.2f} s (processor {spent() - before:.2f} s)", flush=True)
    return {name: statistics.median(found) for name, found in seconds.items()}


def say(what: str, found: dict[str, float]) -> None:
    print(f"{what}: " + ", ".join(f"{name} {value:.2f} s" for name, value in found.items()), end="")
    others = [value for name, value in found.items() if name != "ours"]
    print(f"; ratio {min(others) / found['ours']:.2f}" if others else "; nothing to compare with on PATH", flush=True)


def client(server: Server) -> redis.Redis:
    address = server.endpoint.addresses[0]
    return redis.Redis(address.host, address.port, socket_timeout=300)


def fill(server: Server, megabytes: int) -> int:
    """Strings and hashes, half of each value compressible."""
    generator = random.Random(1)
    count = megabytes * 1_000_000 // VALUE_BYTES
    with client(server) as r:
        for begin in range(0, count, 1000):
            with r.pipeline(transaction=False) as pipe:
                for number in range(begin, begin + 1000):
                    value = generator.randbytes(VALUE_BYTES // 2) + b"x" * (VALUE_BYTES // 2)
                    pipe.set(f"key:{number}", value) if number % 2 else pipe.hset(f"hash:{number}", "field", value)
                pipe.execute()
    return count


def snapshot(source: Server, directory: Path) -> Path:
    """A backup into a vault of its own; returns the vault."""
    vault = Path(tempfile.mkdtemp(dir=directory))
    store = stores.connect(source.endpoint, CLOCK)
    backups.back_up(store, BackupKind.SNAPSHOT, directories.open(vault, CLOCK), [RECIPIENT], CLOCK, random.Random(1))
    return vault


def stock(source: Server, directory: Path) -> Callable[[], object] | None:
    program = shutil.which("valkey-cli") or shutil.which("redis-cli")
    if program is None:
        return None
    address = source.endpoint.addresses[0]
    command = [program, "-h", address.host, "-p", str(address.port), "--rdb", str(directory / "stock.rdb")]
    return lambda: subprocess.run(command, check=True, timeout=600, capture_output=True)


def restored(vault: Path) -> float:
    """Into a new server: the whole restore, its digest and its persistence included."""
    server = real_servers.start_redis()
    try:
        repository, target = directories.open(vault, CLOCK), stores.connect(server.endpoint, CLOCK)
        chain, lease = backups.Catalogue(repository).chain_to("redis"), backups.Lease("redis", target.identity())
        return timed(lambda: backups.restore(chain, target, repository, backups.Opener([IDENTITY]), lease, CLOCK))
    finally:
        server.close()


def fed(vault: Path) -> float:
    """Into a new server: until the data is there, before it is digested and made durable."""
    server = real_servers.start_redis()
    try:
        repository, target = directories.open(vault, CLOCK), stores.connect(server.endpoint, CLOCK)
        chain, lease = backups.Catalogue(repository).chain_to("redis"), backups.Lease("redis", target.identity())
        marks: dict[str, float] = {}

        def noted(event: str, **_: object) -> None:
            marks[event] = CLOCK.monotonic()

        begin = CLOCK.monotonic()
        backups.restore(chain, target, repository, backups.Opener([IDENTITY]), lease, CLOCK, progress=noted)
        return marks["restore.end"] - begin
    finally:
        server.close()


def started(rdb: Path) -> float:
    """A server of its own on the same snapshot, until it answers."""
    server = real_servers.start_redis()
    server.process.kill(), server.process.wait()
    try:
        for left in server.directory.glob("appendonly*"):
            shutil.rmtree(left)
        shutil.copyfile(rdb, server.directory / "dump.rdb")
        server.command[server.command.index("--appendonly") + 1] = "no"
        begin = CLOCK.monotonic()
        server.start()
        with client(server) as r:
            server.wait(r.ping, redis.RedisError)
            assert r.dbsize()
        return CLOCK.monotonic() - begin
    finally:
        server.close()


def lag(source: Server, writes: int) -> list[float]:
    """Seconds from each acknowledgement to the batch that holds the write being handed on."""
    store, stop = stores.connect(source.endpoint, CLOCK), threading.Event()
    with store.dump() as dump:
        for part in dump.parts():
            for _ in part.blocks():
                pass
        end = dump.finish().end
    arrived: list[tuple[int, float]] = []

    def capture() -> None:
        for batch in store.follow(end, stop):
            arrived.append((batch.last.sequence[0], CLOCK.monotonic()))

    thread = threading.Thread(target=capture)
    thread.start()
    marker, acknowledged = store.marker("bench"), list[tuple[int, float]]()
    with client(source) as r:
        for number in range(writes):
            payload = ledger.payload("bench", number, 1)
            marker.write(Mark("bench", number, ledger.digest(payload)), payload)
            now = CLOCK.monotonic()
            acknowledged.append((r.info("replication")["master_repl_offset"], now))
        real_servers.clocks.wait_for(CLOCK, "the capture", lambda: arrived and arrived[-1][0] >= acknowledged[-1][0], within=30)
    stop.set(), thread.join(10)
    marker.close()
    return sorted(next(at for offset, at in arrived if offset >= wanted) - when for wanted, when in acknowledged)


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    for name, usual in (("megabytes", 200), ("rounds", 3), ("writes", 1000)):
        asked.add_argument(f"--{name}", type=int, default=usual)
    wanted = asked.parse_args()
    source = real_servers.start_redis()
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        try:
            print(f"{fill(source, wanted.megabytes)} keys, {wanted.megabytes} MB", flush=True)
            works = {"ours": lambda: timed(lambda: snapshot(source, directory))}
            if (tool := stock(source, directory)) is not None:
                works["stock"] = lambda: timed(tool)
            say("snapshot", sides(wanted.rounds, **works))
            with client(source) as r:
                source.wait(r.save, redis.ResponseError)  # the server may be saving by itself
            rdb, vault = source.directory / "dump.rdb", snapshot(source, directory)
            say("restore, until the data is there", sides(wanted.rounds, ours=lambda: fed(vault), start=lambda: started(rdb)))
            say("restore, verified and durable", sides(1, ours=lambda: restored(vault), start=lambda: started(rdb)))
            found = lag(source, wanted.writes)
            print(
                f"capture: median {statistics.median(found):.4f} s, p99 {found[int(len(found) * 0.99) - 1]:.4f} s, most {found[-1]:.4f} s"
            )
            print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MiB")
        finally:
            source.close()


if __name__ == "__main__":
    main()
