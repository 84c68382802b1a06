"""Reference content: every type and every encoding of Redis, in several databases, the same for the same seed.

Keys begin with `reference:`. Expiries are in the year 2100, so that none comes during a drill.
"""

import random
from collections.abc import Callable, Iterator

from drplatform.stores.redis import wire as wires
from drplatform.stores.redis.wire import Command, Wire

DATABASES = (0, 1, 2)
"""Most items go into the first."""

BATCH = 500
_EXPIRY = 4_102_444_800_000
_LIBRARY = """#!lua name=reference
redis.register_function('reference_sum', function(keys, args)
  return args[1] + args[2]
end)
"""


def seed(wire: Wire, number: int, items: int) -> None:
    """Raises StoreError when the server refuses any of it."""
    generator = random.Random(number)
    for database in DATABASES:
        wire.call("SELECT", database)
        share = items - items // 10 * 2 if database == 0 else items // 10
        _send(wire, _content(generator, share))
    if wires.supports(wire, "FUNCTION"):
        wire.call("FUNCTION", "LOAD", "REPLACE", _LIBRARY)


def _content(generator: random.Random, items: int) -> Iterator[Command]:
    for index in range(items):
        make = _MAKERS[index % len(_MAKERS)]
        yield from make(generator, f"reference:{index:06}:{make.__name__.strip('_')}")
    if items:
        yield from _big(generator, items)


def _send(wire: Wire, commands: Iterator[Command]) -> None:
    batch = list[Command]()
    for command in commands:
        batch.append(command)
        if len(batch) == BATCH:
            _checked(wire, batch)
            batch = []
    _checked(wire, batch)


def _checked(wire: Wire, batch: list[Command]) -> None:
    for answer in wire.within(wires.COMMAND_SECONDS).pipeline(batch):
        if isinstance(answer, wires.ErrorReply):
            raise answer


def _text(generator: random.Random, key: str) -> Iterator[Command]:
    yield "SET", key, generator.randbytes(generator.randrange(0, 300))


def _repetitive(generator: random.Random, key: str) -> Iterator[Command]:
    yield "SET", key, b"compressible " * generator.randrange(10, 100)


def _integer(generator: random.Random, key: str) -> Iterator[Command]:
    yield "SET", key, generator.choice([0, -1, 127, -32768, 2**31 - 1, 2**63 - 1, generator.randrange(10**12)])


def _expiring(generator: random.Random, key: str) -> Iterator[Command]:
    yield "SET", key, generator.randbytes(20).hex()
    yield "PEXPIREAT", key, _EXPIRY + generator.randrange(10**9)


def _list(generator: random.Random, key: str) -> Iterator[Command]:
    yield "RPUSH", key, *_words(generator, 12)


def _intset(generator: random.Random, key: str) -> Iterator[Command]:
    yield "SADD", key, *(generator.randrange(-(10**9), 10**12) for _ in range(20))


def _set(generator: random.Random, key: str) -> Iterator[Command]:
    yield "SADD", key, *_words(generator, 10)


def _hash(generator: random.Random, key: str) -> Iterator[Command]:
    yield "HSET", key, *(word for pair in zip(_words(generator, 8), _words(generator, 8), strict=True) for word in pair)


def _zset(generator: random.Random, key: str) -> Iterator[Command]:
    scores = ["-inf", "+inf", "0", *(repr(generator.uniform(-1e6, 1e6)) for _ in range(7))]
    yield "ZADD", key, *(word for pair in zip(scores, _words(generator, 10), strict=True) for word in pair)


def _bitmap(generator: random.Random, key: str) -> Iterator[Command]:
    yield "SETBIT", key, generator.randrange(4096), 1


def _hyperloglog(generator: random.Random, key: str) -> Iterator[Command]:
    yield "PFADD", key, *_words(generator, 30)


def _geo(generator: random.Random, key: str) -> Iterator[Command]:
    yield "GEOADD", key, repr(generator.uniform(-180, 180)), repr(generator.uniform(-80, 80)), "place"


def _stream(generator: random.Random, key: str) -> Iterator[Command]:
    """With two groups, one of which has entries delivered and not acknowledged, and a deleted entry."""
    for number in range(1, 8):
        yield "XADD", key, f"{1_700_000_000_000 + number}-{number}", "word", *_words(generator, 1)
    yield "XGROUP", "CREATE", key, "readers", "0"
    yield "XGROUP", "CREATE", key, "idlers", "$"
    for number in range(1, 4):
        owner, delivered = f"consumer-{number % 2}", 1_700_000_000_000 + generator.randrange(10**6)
        yield "XCLAIM", key, "readers", owner, 0, f"{1_700_000_000_000 + number}-{number}", "TIME", delivered, "RETRYCOUNT", number, "FORCE"
    yield "XDEL", key, "1700000000005-5"


def _big(generator: random.Random, items: int) -> Iterator[Command]:
    """One key a type that is too large for the compact encodings."""
    for begin in range(0, max(1000, items), 250):
        words = _words(generator, 250)
        yield "RPUSH", "reference:big:list", *words
        yield "SADD", "reference:big:set", *words
        yield "HSET", "reference:big:hash", *(item for word in words for item in (word, word[::-1]))
        yield "ZADD", "reference:big:zset", *(item for place, word in enumerate(words) for item in (begin + place, word))
        yield "XADD", "reference:big:stream", f"{begin + 1}-1", *(item for word in words[:50] for item in (word, word))
    yield "SETRANGE", "reference:big:string", 1_000_000, generator.randbytes(1000)


def _words(generator: random.Random, count: int) -> list[str]:
    return [f"{generator.getrandbits(64):016x}" for _ in range(count)]


_MAKERS: tuple[Callable[[random.Random, str], Iterator[Command]], ...] = (
    _text, _repetitive, _integer, _expiring, _list, _intset, _set, _hash, _zset, _bitmap, _hyperloglog, _geo, _stream,
)  # fmt: skip
