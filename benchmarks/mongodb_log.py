"""MongoDB's log: increments beside the log of the same window, what following the log costs the server, and how far what is sealed lags.

    python benchmarks/mongodb_log.py [--rounds 3] [--operations 100000] [--seconds 10] [--rate 5000]

First so many updates, onto a quarter and onto a hundredth as many documents. Their window is restored twice from the same vault, from the increment and
from the log, taking turns; told is what each adds to a restore of the full backup alone. Then a server takes operations at the rate, with and
without a capture that follows, taking turns; told are the server's processor seconds, and seconds from an acknowledgement to the sealed slice that holds it.
"""

import argparse
import random
import statistics
import sys
import tempfile
import threading
import time
from bisect import bisect_left
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

here = Path(__file__).resolve().parent
sys.path[0] = str(here.parent / "tests")
sys.path.append(str(here))  # behind all else: in it redis.py is no client library

import mongodb as bench
import pymongo
import real_servers
from pymongo import InsertOne, UpdateOne

from drplatform.engine import backups
from drplatform.engine.capture import Capture
from drplatform.model.backup import BackupKind, Chain
from drplatform.model.ports import Endpoint
from drplatform.repositories import directory
from drplatform.stores import mongodb

CLOCK = real_servers.CLOCK
DOCUMENT = 300
PUBLIC, SECRET = backups.generate()
TICK = 0.02


# -- increments -------------------------------------------------------------------------------------------------------------------


def touch(endpoint: Endpoint, operations: int, documents: int) -> None:
    """Updates of random ones of so many documents."""
    generator = random.Random(operations)
    with real_servers.mongodb_client(endpoint) as client:
        things = client.bench.things
        for begin in range(0, operations, 1000):
            at = [generator.randrange(documents) for _ in range(min(1000, operations - begin))]
            things.bulk_write([UpdateOne({"_id": n}, {"$set": {"text": f"changed {n}"}, "$inc": {"kind": 1}}) for n in at], ordered=False)


def run_window(operations: int, documents: int, rounds: int, base: Path) -> None:
    source, repository = real_servers.start_mongodb(), directory.open(base / "vault", CLOCK)
    with closing(source):
        bench.fill(source.endpoint, documents * DOCUMENT, DOCUMENT)
        store = mongodb.connect(source.endpoint, CLOCK)
        full = backups.back_up(store, BackupKind.FULL, repository, [PUBLIC], CLOCK, random.Random(1))
        touch(source.endpoint, operations, documents)
        entries = bench.seal(store, full.end, repository, PUBLIC)
        increment = backups.back_up(store, BackupKind.INCREMENTAL, repository, [PUBLIC], CLOCK, random.Random(2))
        digests = store.digest()
    logs = tuple(
        sorted((m for m in backups.Catalogue(repository).read().manifests if m.kind is BackupKind.LOG), key=lambda m: m.begin.sequence)
    )
    chains = {"full": Chain(full), "increment": Chain(full, (increment,)), "log": Chain(full, logs=logs)}

    def restored(chain: Chain) -> float:
        target = real_servers.start_mongodb()
        with closing(target):
            store = mongodb.connect(target.endpoint, CLOCK)
            lease, opener = backups.Lease("mongodb", store.identity()), backups.Opener((SECRET,))
            seconds, _ = bench.timed(lambda: backups.restore(chain, store, repository, opener, lease, CLOCK))
            assert chain is chains["full"] or store.digest() == digests, "both lead to what the source was"
            return seconds

    found = taking_turns(rounds, {name: (lambda chain=chain: restored(chain)) for name, chain in chains.items()})
    increment_s, log_s = (found[name] - found["full"] for name in ("increment", "log"))
    print(f"\n{entries} updates of {documents} documents, medians of {rounds} rounds, beyond the {found['full']:.2f} s of the full backup")
    print(f"  from the increment {increment_s:.2f} s, from the log {log_s:.2f} s: {log_s / increment_s:.1f} times as fast")


def taking_turns(rounds: int, works: dict[str, Callable[[], float]]) -> dict[str, float]:
    """Medians of what each tells."""
    told: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            told[name].append(work())
    return {name: statistics.median(values) for name, values in told.items()}


# -- the capture ------------------------------------------------------------------------------------------------------------------


class Writer:
    """Inserts and updates, half and half, at a rate. `acknowledged`: by position, when that was known."""

    def __init__(self, endpoint: Endpoint, rate: int) -> None:
        self._endpoint, self._each, self._number = endpoint, round(rate * TICK), 0
        self.acknowledged: list[tuple[tuple[int, int], float]] = []

    def work(self, seconds: float) -> float:
        """How many operations a second it came to."""
        self.acknowledged.clear()
        generator, begin, done = random.Random(self._number), time.monotonic(), 0
        never = threading.Event()
        with real_servers.mongodb_client(self._endpoint) as client, client.start_session() as session:
            things = client.get_database("bench", write_concern=pymongo.WriteConcern(w="majority")).work
            while time.monotonic() - begin < seconds:
                things.bulk_write(self._operations(generator), session=session)
                at = session.operation_time
                self.acknowledged.append(((at.time, at.inc), time.monotonic()))
                done += self._each
                CLOCK.wait(never, begin + done / self._each * TICK - time.monotonic())
        return done / (time.monotonic() - begin)

    def _operations(self, generator: random.Random) -> list[InsertOne | UpdateOne]:
        """Two commands of the driver: it has one for each run of operations of one kind."""
        half = self._each // 2
        fresh = range(self._number, self._number + half)
        self._number += half
        inserts = [InsertOne(bench.a_document(generator, number, DOCUMENT)) for number in fresh]
        return [*inserts, *(UpdateOne({"_id": number}, {"$set": {"text": "changed"}, "$inc": {"kind": 1}}) for number in fresh)]


class Sealed:
    """When the capture had sealed what, looked at each few milliseconds."""

    def __init__(self, capture: Capture) -> None:
        self._capture, self._stop = capture, threading.Event()
        self.seen: list[tuple[tuple[int, int], float]] = []
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def _watch(self) -> None:
        while not CLOCK.wait(self._stop, 0.005):
            reached = self._capture.reached.sequence
            if not self.seen or reached > self.seen[-1][0]:
                self.seen.append((reached, time.monotonic()))

    def end(self) -> None:
        self._stop.set()
        self._thread.join()

    def lags(self, acknowledged: list[tuple[tuple[int, int], float]]) -> list[float]:
        positions = [position for position, _ in self.seen]
        return sorted(self.seen[bisect_left(positions, position)][1] - when for position, when in acknowledged)


def server_seconds(server: real_servers.Server) -> float:
    """Processor seconds of the server's process (proc(5): utime and stime, in hundredths)."""
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def run_capture(rate: int, seconds: float, rounds: int, base: Path) -> None:
    source = real_servers.start_mongodb()
    lags, rates = list[float](), list[float]()
    with closing(source):
        store, repository, writer = (
            mongodb.connect(source.endpoint, CLOCK),
            directory.open(base / "log", CLOCK),
            Writer(source.endpoint, rate),
        )
        writer.work(seconds / 2)

        def alone() -> float:
            before = server_seconds(source)
            rates.append(writer.work(seconds))
            return server_seconds(source) - before

        def followed() -> float:
            capture = Capture(store, repository, [PUBLIC], CLOCK, random.Random(3), store.position())
            capture.start()
            sealed = Sealed(capture)
            try:
                used = alone()
                last = writer.acknowledged[-1][0]
                real_servers.clocks.wait_for(CLOCK, "the capture", lambda: sealed.seen and sealed.seen[-1][0] >= last, within=30)
            finally:
                sealed.end()
                capture.stop()
            lags.extend(sealed.lags(writer.acknowledged))
            return used

        found = taking_turns(rounds, {"alone": alone, "followed": followed})
    lags.sort()
    print(
        f"\nCapture at {statistics.median(rates):,.0f} operations a second ({min(rates):,.0f} to {max(rates):,.0f}), {rounds} rounds of {seconds:g} s"
    )
    print(
        f"  the server takes {found['followed']:.2f} s of processor with it and {found['alone']:.2f} s without: "
        f"{found['followed'] / found['alone'] - 1:+.1%}"
    )
    print(
        f"  acknowledged to sealed: median {statistics.median(lags):.2f} s, p99 {lags[int(len(lags) * 0.99) - 1]:.2f} s, most {lags[-1]:.2f} s"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--operations", type=int, default=100_000, help="updates in the window; 0: none")
    parser.add_argument("--seconds", type=float, default=10.0, help="of writing in each round; 0: none")
    parser.add_argument("--rate", type=int, default=5000, help="operations a second")
    told = parser.parse_args()
    for documents in (told.operations // 4, told.operations // 100) if told.operations else ():
        with tempfile.TemporaryDirectory(prefix="drplatform-bench-") as base:
            run_window(told.operations, documents, told.rounds, Path(base))
    if told.seconds:
        with tempfile.TemporaryDirectory(prefix="drplatform-bench-") as base:
            run_capture(told.rate, told.seconds, told.rounds, Path(base))


if __name__ == "__main__":
    main()
