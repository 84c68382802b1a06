"""What the tests of the Redis store share: an independent reading of a server, snapshots as bytes, histories as bytes."""

import itertools
import threading
from collections.abc import Callable, Iterator
from typing import Any

import redis

from drplatform.model import clock as clocks
from drplatform.model import ledger
from drplatform.model.backup import BackupKind
from drplatform.model.ledger import Mark
from drplatform.model.ports import Endpoint, LogBatch, RestoreEnd
from drplatform.model.position import Position
from drplatform.stores.redis.store import RedisStore


def client(endpoint: Endpoint, database: int = 0) -> redis.Redis:
    address = endpoint.addresses[0]
    return redis.Redis(address.host, address.port, db=database, protocol=2, socket_timeout=20)


_READERS: dict[bytes, Callable[[redis.Redis, bytes], Any]] = {
    b"string": lambda r, key: r.get(key),
    b"list": lambda r, key: r.lrange(key, 0, -1),
    b"set": lambda r, key: r.smembers(key),
    b"hash": lambda r, key: r.hgetall(key),
    b"zset": lambda r, key: r.zrange(key, 0, -1, withscores=True),
    b"stream": lambda r, key: (r.xrange(key), [_group(r, key, group) for group in r.xinfo_groups(key)]),
}


def _group(r: redis.Redis, key: bytes, group: dict) -> Any:
    pending = r.xpending_range(key, group["name"], "-", "+", 1000)
    waiting = [(entry["message_id"], entry["consumer"], entry["times_delivered"]) for entry in pending]
    return group["name"], group["last-delivered-id"], waiting


def everything(endpoint: Endpoint) -> dict[Any, Any]:
    """Every key of every database with type, absolute expiry and value, and the functions: read by another client than the store's own."""
    found: dict[Any, Any] = {}
    for database in range(16):
        with client(endpoint, database) as r:
            for key in r.keys("*"):
                kind = r.type(key)
                found[database, key] = (kind, _expiry(r, key), _READERS[kind](r, key))
    with client(endpoint) as r:
        found["functions"] = sorted(repr(library) for library in r.function_list(withcode=True)) if has_functions(r) else []
    return found


def has_functions(r: redis.Redis) -> bool:
    """Redis from 7.0, which is also the first to tell the exact time of an expiry."""
    return not r.info("server")["redis_version"].startswith("6.")


def _expiry(r: redis.Redis, key: bytes) -> int:
    return r.execute_command("PEXPIRETIME", key) if has_functions(r) else r.pttl(key) > 0


def snapshot(store: RedisStore) -> tuple[list[bytes], Position]:
    with store.dump() as dump:
        parts = {part.name: list(part.blocks()) for part in dump.parts()}
        return parts["rdb"], dump.finish().end


def restored(store: RedisStore, blocks: list[bytes], log: bytes = b"", until: Position | None = None) -> RestoreEnd:
    with store.restore() as restore:
        restore.load(BackupKind.SNAPSHOT, "rdb", iter(blocks))
        restore.loaded()
        if log:
            restore.replay(iter(cut(log, 4099)), until)
        return restore.finish()


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def write(store: RedisStore, name: str, numbers: range) -> list[Mark]:
    """Marks as the ledger writes them."""
    marker, marks = store.marker(name), []
    for number in numbers:
        payload = ledger.payload(name, number, 1)
        marks.append(Mark(name, number, ledger.digest(payload)))
        marker.write(marks[-1], payload)
    marker.close()
    return marks


class Capture:
    """Follows a store in a thread; `upto` waits until the capture has got to where the store is now."""

    def __init__(self, store: RedisStore, after: Position, clock: clocks.Clock) -> None:
        self.store, self.clock = store, clock
        self.batches: list[LogBatch] = []
        self.error: BaseException | None = None
        self.last = after
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(after,))
        self._thread.start()

    def _run(self, after: Position) -> None:
        try:
            for batch in self.store.follow(after, self._stop):
                self.batches.append(batch)
                self.last = batch.last
        except BaseException as error:  # noqa: BLE001 - a thread's body
            self.error = error

    def upto_now(self) -> None:
        offset = self.store.position().sequence
        clocks.wait_for(self.clock, "the capture", lambda: self.error or self.last.sequence >= offset, within=10)

    def failed(self) -> BaseException:
        return clocks.wait_for(self.clock, "the capture to fail", lambda: self.error, within=10)

    @property
    def log(self) -> bytes:
        return b"".join(batch.block for batch in self.batches)

    def __enter__(self) -> "Capture":
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join(5)
        assert not self._thread.is_alive()


def contiguous(batches: list[LogBatch]) -> bool:
    return all(one.last == two.previous for one, two in itertools.pairwise(batches))


def workload(random: Any, count: int) -> Iterator[tuple[int, list[tuple[Any, ...]]]]:
    """Random writes to few keys, so that they meet: (database, commands); several commands are one transaction."""
    for _ in range(count):
        commands = [_command(random) for _ in range(random.choice([1, 1, 1, 3]))]
        yield random.choice([0, 0, 3]), commands


def _command(random: Any) -> tuple[Any, ...]:
    n, word = random.randrange(6), random.randbytes(random.randrange(1, 40))
    far = 4_102_444_800_000 + random.randrange(10**6)
    return random.choice(
        [
            ("SET", f"s{n}", word),
            ("APPEND", f"s{n}", word),
            ("INCRBY", f"i{n}", random.randrange(100)),
            ("INCRBYFLOAT", f"f{n}", "0.1"),
            ("SETRANGE", f"s{n}", random.randrange(100), word),
            ("SET", f"s{n}", word, "PXAT", far),
            ("PEXPIRE", f"l{n}", 10**9),
            ("RPUSH", f"l{n}", word, word),
            ("LPOP", f"l{n}"),
            ("LMOVE", f"l{n}", f"l{(n + 1) % 6}", "LEFT", "RIGHT"),
            ("SADD", f"set{n}", random.randrange(50), word),
            ("SPOP", f"set{n}"),
            ("SUNIONSTORE", f"set{n}", "set0", "set1"),
            ("HSET", f"h{n}", f"f{random.randrange(20)}", word),
            ("HDEL", f"h{n}", f"f{random.randrange(20)}"),
            ("ZADD", f"z{n}", random.randrange(100), f"m{random.randrange(30)}"),
            ("ZPOPMIN", f"z{n}"),
            ("GEOADD", f"z{n}", "13.4", "52.5", "berlin"),
            ("PFADD", f"pf{n}", word),
            ("SETBIT", f"b{n}", random.randrange(999), 1),
            ("XADD", f"x{n}", "MAXLEN", "20", "*", "w", word),
            ("XGROUP", "CREATE", f"x{n}", "g", "0", "MKSTREAM"),
            ("XREADGROUP", "GROUP", "g", f"c{n}", "COUNT", "2", "STREAMS", f"x{n}", ">"),
            ("DEL", f"{random.choice(['s', 'l', 'set', 'h', 'z', 'x'])}{n}"),
            ("COPY", f"s{n}", f"s{(n + 1) % 6}", "REPLACE"),
            ("RENAME", f"s{n}", f"s{(n + 2) % 6}"),
            ("EVAL", "redis.call('INCR', KEYS[1]); return redis.call('RPUSH', KEYS[2], ARGV[1])", 2, f"i{n}", f"l{n}", word),
        ]
    )
