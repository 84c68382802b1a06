"""The state of a server as a cache, as INFO tells it: keys and how many expire by database, memory, its limit, what goes when it is full.

Part `cache` of a backup: the state just after the snapshot began. A restore asks for it twice: whether the target has room at all, before
the first byte; and at the end whether it holds as many keys as the snapshot, has evicted none and takes writes. A server that is in use
writes on while INFO is asked: then the replication offset has moved, and the counts are none of the snapshot's.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from drplatform.model import errors
from drplatform.stores.redis import wire as wires
from drplatform.stores.redis.wire import ErrorReply, Wire

NO_EVICTION = "noeviction"


@dataclass(frozen=True)
class State:
    """`keys`, and of these `expiring`, by database (`db0`); `used` memory in bytes that counts against `limit` (0: none)."""

    keys: Mapping[str, int]
    expiring: Mapping[str, int]
    used: int
    limit: int
    policy: str
    evicted: int
    offset: int

    def blocks(self) -> Iterator[bytes]:
        """The part of a backup."""
        yield json.dumps(asdict(self)).encode()

    @classmethod
    def of(cls, blocks: Iterable[bytes]) -> "State":
        """Raises IntegrityError when it is no such part."""
        try:
            document = json.loads(b"".join(blocks))
            keys, expiring = (_counts(document[name]) for name in ("keys", "expiring"))
            used, limit, evicted, offset = (int(document[name]) for name in ("used", "limit", "evicted", "offset"))
            return cls(keys, expiring, used, limit, str(document["policy"]), evicted, offset)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            words = "The state of the cache in this backup cannot be read; do not trust this backup, use another one."
            raise errors.IntegrityError(words) from error

    def full(self) -> bool:
        """Whether it refuses writes."""
        return bool(self.limit) and self.policy == NO_EVICTION and self.used > self.limit


def read(wire: Wire) -> State | None:
    """None when the account may not ask for INFO."""
    try:
        seen = wires.fields(wire.call("INFO"))
    except ErrorReply as error:
        if error.code == "NOPERM":
            return None
        raise
    databases = {name: _pairs(value) for name, value in seen.items() if name.startswith("db") and name[2:].isdigit()}
    return State(
        keys={name: int(found["keys"]) for name, found in databases.items()},
        expiring={name: int(found["expires"]) for name, found in databases.items()},
        used=int(seen["used_memory"]) - int(seen.get("mem_not_counted_for_evict", 0)),
        limit=int(seen.get("maxmemory", 0)),
        policy=seen.get("maxmemory_policy", NO_EVICTION),
        evicted=int(seen.get("evicted_keys", 0)),
        offset=int(seen.get("master_repl_offset", 0)),
    )


def without_room(target: State, wanted: State) -> str:
    """Why the target cannot hold what was backed up, else nothing. With the same limit as the source it can: the source did."""
    needed = min(wanted.used, wanted.limit or wanted.used)
    if not target.limit or target.limit >= needed:
        return ""
    return (
        f"The target may use {target.limit} bytes (maxmemory), and the data took {needed}: it would lose keys or take no writes; "
        "raise maxmemory, or restore into a larger one."
    )


def unequal(now: State, wanted: State) -> Iterator[str]:
    """Databases that do not hold what the snapshot held, in words."""
    for name in sorted({*now.keys, *wanted.keys}):
        counts = [(each.keys.get(name, 0), each.expiring.get(name, 0)) for each in (now, wanted)]
        if counts[0] != counts[1]:
            held, had = (f"{keys} keys, of which {expiring} expire" for keys, expiring in counts)
            yield f"{name} of the target had {held}, when the snapshot was loaded; the source had {had}"


def spoiled(before: State, after: State) -> Iterator[str]:
    """What became of the data because of the target's limit of memory, in words."""
    if lost := after.evicted - before.evicted:
        yield f"{lost} keys, which the target has evicted: its maxmemory of {after.limit} bytes is too small ({after.policy})"
    if after.full():
        yield f"the target takes no writes: it uses {after.used} bytes, and its maxmemory is {after.limit} ({after.policy})"


def another_cache(target: State, wanted: State) -> Iterator[str]:
    """Where the target, by its settings, will lose keys otherwise than the source did, in words."""
    if not target.limit:
        return
    if target.policy != wanted.policy:
        yield f"maxmemory-policy: the target has {target.policy}, the source had {wanted.policy}"
    if not wanted.limit or target.limit < wanted.limit:
        yield f"maxmemory: the target has {target.limit} bytes, the source had {wanted.limit or 'no limit'}"


def _pairs(text: str) -> dict[str, str]:
    """`keys=4,expires=1,avg_ttl=0`"""
    return dict(item.split("=", 1) for item in text.split(","))


def _counts(document: Any) -> dict[str, int]:
    return {str(name): int(count) for name, count in document.items()}
