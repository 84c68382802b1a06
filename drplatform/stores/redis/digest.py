"""The content of a server as digests, one a database, independent of where and how the server keeps it.

What is digested is the value that a client reads, never DUMP's payload: that depends on the internal encoding, on a hash table's order
(which is random in each process) and on the version, and differs between a server and its faithful restore. The digest of an item covers
its key, its type, its value and the absolute time at which it expires (in milliseconds; servers before 7.0 cannot say it exactly, there only
whether it expires counts, and their digests are comparable among themselves alone). A key that expires in between is in one digest and
not in the other. Left out: keys of the ledger, and of streams the times at which consumers were last seen. Users count with their rights
and passwords; a digest is no secret, so the hash of a password goes into it by a function that is slow to try (scrypt).
Memory: some 16 MiB of values (or one, where it is larger) and as much again as is made of them, and a number for each key.
"""

import hashlib
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from drplatform.model import errors
from drplatform.model.backup import Digest
from drplatform.model.clock import Clock
from drplatform.model.ports import Endpoint
from drplatform.stores.redis import content, users
from drplatform.stores.redis import wire as wires
from drplatform.stores.redis.wire import Command, ErrorReply, Wire

PAGE = 200
VALUES_BYTES = 16 * 1024 * 1024
"""About so much of values is asked for at once."""
PAGE_SECONDS = 120.0
_STREAM_FIELDS = (b"length", b"last-generated-id", b"max-deleted-entry-id", b"entries-added", b"recorded-first-entry-id", b"entries")
_GROUP_FIELDS = (b"name", b"last-delivered-id", b"entries-read")


class _Entry(NamedTuple):
    key: bytes
    kind: bytes
    expires: int


def digests(endpoint: Endpoint, clock: Clock) -> dict[str, Digest]:
    """By database (`db0`), `functions` and `users` where there are any; databases that hold nothing but the ledger are left out."""
    return of_databases(endpoint, clock) | of_users(endpoint, clock)


def of_databases(endpoint: Endpoint, clock: Clock) -> dict[str, Digest]:
    """Without the users."""
    with wires.dial(endpoint, clock) as wire:
        found = {name: total(_items(wire, name)) for name in sorted(content.keys(wire))}
        wire.call("SELECT", 0)
        found["functions"] = total(_canonical([name, code]) for name, code in content.libraries(wire).items())
    return {name: digest for name, digest in found.items() if digest.items}


def of_users(endpoint: Endpoint, clock: Clock) -> dict[str, Digest]:
    """`users`: all but `default` and the account at work, which a restore leaves alone; nothing where there are none or they are not shown."""
    with wires.dial(endpoint, clock) as wire:
        found = users.read(wire).rules
    own = endpoint.credentials.user.encode() if endpoint.credentials else b""
    digest = total(_canonical([name, users.form(name, rules)]) for name, rules in found.items() if name not in (users.DEFAULT, own))
    return {"users": digest} if digest.items else {}


def total(items: Iterable[bytes]) -> Digest:
    """The digest of a multiset of items, each in its one byte form."""
    count = value = 0
    for item in items:
        count += 1
        value += int.from_bytes(hashlib.sha256(item).digest())
    return Digest(count, f"{value % 2**256:064x}")


def _items(wire: Wire, database: str) -> Iterator[bytes]:
    wire.call("SELECT", database.removeprefix("db"))
    exact = wires.supports(wire, "PEXPIRETIME")
    fields_expire = wires.supports(wire, "HPEXPIRETIME")
    pace = _Pace()
    for keys in pace.batches(_pages(wire)):
        entries = _entries(wire, keys, exact)
        entries, values = _values(wire, entries)
        extras = _field_expiries(wire, entries, values) if fields_expire else {}
        for entry, value in zip(entries, values, strict=True):
            form = _FORMS.get(entry.kind, _opaque)(value)
            item = _canonical([*entry, form, extras.get(entry.key, [])])
            pace.read += len(item)
            yield item


class _Pace:
    """How many values to ask for at once, by how large the last ones were: neither side is to hold many large ones."""

    def __init__(self) -> None:
        self.read = 0
        self._keys = 1

    def batches(self, pages: Iterable[list[bytes]]) -> Iterator[list[bytes]]:
        """The keys of pages in batches. What is read of the values is added to `read`, before the next batch is taken."""
        for page in pages:
            at = 0
            while at < len(page):
                yield page[at : at + self._keys]
                at += self._keys
                fitting = self._keys * VALUES_BYTES // max(1, self.read)
                self._keys, self.read = max(1, min(2 * self._keys, fitting, PAGE)), 0


def _pages(wire: Wire) -> Iterator[list[bytes]]:
    """Every key once: SCAN may name one twice while the server resizes its table."""
    cursor, seen = b"0", set[int]()
    while True:
        cursor, page = wires.checked(_pipeline(wire, [("SCAN", cursor, "COUNT", PAGE)])[0])
        fresh = [key for key in dict.fromkeys(page) if hash(key) not in seen and not key.startswith(content.PRIVATE)]
        seen.update(map(hash, fresh))
        if fresh:
            yield fresh
        if cursor == b"0":
            return


def _entries(wire: Wire, keys: list[bytes], exact: bool) -> list[_Entry]:
    answers = _pipeline(wire, [command for key in keys for command in (("TYPE", key), ("PEXPIRETIME" if exact else "PTTL", key))])
    expiries = answers[1::2] if exact else [min(each, 0) for each in answers[1::2]]
    return [entry for entry in map(_Entry, keys, answers[::2], expiries) if entry.kind != b"none"]


def _reading(entry: _Entry) -> Command:
    before, after = _READING.get(entry.kind, _AS_DUMPED)
    return (*before, entry.key, *after)


def _field_expiries(wire: Wire, entries: list[_Entry], values: list[Any]) -> dict[bytes, Any]:
    """When the fields of hashes expire, by key; only of hashes in which some do."""
    hashes = [(entry.key, value[::2]) for entry, value in zip(entries, values, strict=True) if entry.kind == b"hash" and value]
    answers = _pipeline(wire, [("HPEXPIRETIME", key, "FIELDS", len(fields), *fields) for key, fields in hashes])
    found = dict[bytes, Any]()
    for (key, fields), times in zip(hashes, answers, strict=True):
        if isinstance(times, list) and any(time > 0 for time in times):
            found[key] = sorted([field, time] for field, time in zip(fields, times, strict=True) if time > 0)
    return found


def _pipeline(wire: Wire, commands: list[Command]) -> list[Any]:
    return wire.within(PAGE_SECONDS).pipeline(commands)


def _values(wire: Wire, entries: list[_Entry]) -> tuple[list[_Entry], list[Any]]:
    """The entries that are there, with their values: on a server in use some are gone since they were listed."""
    found = zip(entries, _pipeline(wire, [_reading(entry) for entry in entries]), strict=True)
    there = [(entry, value) for entry, value in found if not _gone(value)]
    return [entry for entry, _ in there], [value for _, value in there]


def _gone(value: Any) -> bool:
    """No value is empty but a string's. Raises StoreError for a key that is there and cannot be read."""
    if isinstance(value, ErrorReply) and "no such key" not in str(value):
        raise errors.StoreError(f"A key cannot be read for the digest: {value}") from value
    return value is None or value == [] or isinstance(value, ErrorReply)


def _scored(flat: list[bytes]) -> list[Any]:
    """Scores as numbers: how one is written differs between versions."""
    pairs = zip(flat[::2], flat[1::2], strict=True)
    return sorted([member, struct.pack(">d", float(score))] for member, score in pairs)


def _stream(flat: list[Any]) -> list[Any]:
    fields: dict[bytes, Any] = content.pairs(flat)
    kept = [fields.get(name) for name in _STREAM_FIELDS]
    return [kept, sorted(map(_group, fields[b"groups"]), key=_canonical)]


def _group(flat: list[Any]) -> list[Any]:
    fields: dict[bytes, Any] = content.pairs(flat)
    consumers = sorted(content.pairs(consumer)[b"name"] for consumer in fields[b"consumers"])
    return [[fields.get(name) for name in _GROUP_FIELDS], fields[b"pending"], consumers]


def _opaque(dumped: bytes) -> bytes:
    """The value of a module, which only the module reads: its dump, without the footer of version and checksum."""
    return dumped[:-10]


_READING: Mapping[bytes, tuple[Command, Command]] = {
    b"string": (("GET",), ()),
    b"list": (("LRANGE",), (0, -1)),
    b"set": (("SMEMBERS",), ()),
    b"hash": (("HGETALL",), ()),
    b"zset": (("ZRANGE",), (0, -1, "WITHSCORES")),
    b"stream": (("XINFO", "STREAM"), ("FULL", "COUNT", 0)),
}
"""How the value of a type is read: the words before the key, and those after it."""
_AS_DUMPED: tuple[Command, Command] = (("DUMP",), ())

_FORMS: Mapping[bytes, Callable[[Any], Any]] = {
    b"string": lambda value: value,
    b"list": lambda items: items,
    b"set": sorted,
    b"hash": lambda flat: sorted([field, value] for field, value in content.pairs(flat).items()),
    b"zset": _scored,
    b"stream": _stream,
}


def _canonical(value: Any) -> bytes:
    """One byte form for nested answers, unambiguous."""
    if isinstance(value, list):
        each = [b"$%d\n%b" % (len(one), one) if type(one) is bytes else _canonical(one) for one in value]
        return b"*%d\n" % len(value) + b"".join(each)
    data = value if isinstance(value, bytes) else value.encode() if isinstance(value, str) else repr(value).encode()
    return b"$%d\n%b" % (len(data), data)
