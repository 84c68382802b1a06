"""The dump of a Redis store: the RDB file of one moment, as one part, checked before it counts as complete, and the users of that time.

Parts of a backup of Redis: `rdb`, from a server also `cache` and `users` (see there), and from a directory `log` (frames of `stream`) and `left-out`
(lines of text).
"""

from collections.abc import Iterator
from contextlib import contextmanager

from drplatform.model import errors
from drplatform.model.clock import Clock
from drplatform.model.ports import DumpEnd, Endpoint, Part
from drplatform.stores.redis import cache, psync, rdb, users
from drplatform.stores.redis import wire as wires

CACHE_PART, PART, LOG_PART, LEFT_OUT_PART, USERS_PART = "cache", "rdb", "log", "left-out", "users"


class Snapshot:
    """A snapshot that is coming. Its parts are read once."""

    def __init__(self, endpoint: Endpoint, clock: Clock, transfer: psync.Transfer) -> None:
        self._endpoint, self._clock, self._transfer = endpoint, clock, transfer
        self._complete = False
        self._users: users.Users | None = None
        self._state: cache.State | None = None

    def parts(self) -> Iterator[Part]:
        yield Part(CACHE_PART, 0, self._of_cache)
        yield Part(PART, 1, self._blocks)
        yield Part(USERS_PART, 4, self._of_users)

    def finish(self) -> DumpEnd:
        if not self._complete or self._users is None:
            raise errors.IntegrityError("The snapshot of Redis was not read to its end and is not used; take it again.")
        counts = {users.UNREAD: 1} if self._users.unreadable else {"users": len(self._users.rules)}
        counts |= self._state.keys if self._state else {}
        return DumpEnd(self._transfer.position, self._transfer.position, counts=counts)

    def _of_cache(self) -> Iterator[bytes]:
        """None from an account that may not ask."""
        with wires.dial(self._endpoint, self._clock) as wire:
            self._state = cache.read(wire)
        if self._state:
            yield from self._state.blocks()

    def _blocks(self) -> Iterator[bytes]:
        yield from rdb.checked(self._transfer.blocks())
        self._complete = True

    def _of_users(self) -> Iterator[bytes]:
        with wires.dial(self._endpoint, self._clock) as wire:
            self._users = users.read(wire)
        yield from self._users.blocks()


@contextmanager
def snapshot(endpoint: Endpoint, clock: Clock) -> Iterator[Snapshot]:
    transfer = psync.snapshot(endpoint, clock)
    try:
        yield Snapshot(endpoint, clock, transfer)
    finally:
        transfer.wire.close()
