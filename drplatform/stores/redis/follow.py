"""Continuous capture: staying attached as a replica, and handing on the stream in batches.

A batch ends between commands and never inside a transaction. Redis has no notion of a write that cannot be rolled back: what a primary
sent is all that there is to know. When the history changes (another primary was promoted) or the backlog was overrun, LogGap says that
a new chain must begin; nothing is bridged.
"""

import threading
from collections.abc import Generator, Iterator
from contextlib import suppress

from drplatform.model import errors
from drplatform.model.clock import Clock
from drplatform.model.ports import Endpoint, LogBatch
from drplatform.model.position import Position
from drplatform.stores.redis import psync, stream
from drplatform.stores.redis import wire as wires
from drplatform.stores.redis.wire import Wire

LINGER = 0.02
"""Seconds for which more is gathered into a batch that has begun."""

BATCH_BYTES = 1024 * 1024
ACKNOWLEDGE_EVERY = 1.0
REST_SECONDS = 0.5
_HOPELESS = frozenset({"NOAUTH", "NOPERM", "WRONGPASS"})


def follow(endpoint: Endpoint, clock: Clock, after: Position, stop: threading.Event) -> Iterator[LogBatch]:
    """Batches after the position until `stop`; empty ones while nothing comes or the server is away. Raises LogGap."""
    tail = _Tail(endpoint, clock, after)
    try:
        while not stop.is_set():
            try:
                batch = tail.batch()
            except errors.StoreError as error:
                _raise_hopeless(error)
                tail.close()
                clock.wait(stop, psync.WAIT)
                batch = tail.nothing()
            yield batch
        yield from tail.rest()
    finally:
        tail.close()


class _Tail:
    """The end of the stream as we have it: the last position handed on, and bytes behind it that are not a whole unit yet."""

    def __init__(self, endpoint: Endpoint, clock: Clock, after: Position) -> None:
        self._endpoint, self._clock = endpoint, clock
        self._last, self._database = after, stream.UNKNOWN
        self._held = bytearray()
        self._wire: Wire | None = None
        self._attaching: Generator[None, None, Wire] | None = None
        self._spoken = self._heard = 0.0

    def batch(self) -> LogBatch:
        wire = self._wire or self._attached()
        if wire is None:
            return self.nothing()
        self._keep_alive(wire)
        self._gather(wire, psync.WAIT)
        return self._cut()

    def rest(self) -> Iterator[LogBatch]:
        """What has already arrived; not for long, because a busy server never stops sending."""
        deadline = self._clock.monotonic() + REST_SECONDS
        while self._wire is not None and self._clock.monotonic() < deadline:
            with suppress(wires.ConnectionLost):
                self._gather(self._wire, 0)
            batch = self._cut()
            if not batch.block:
                return
            yield batch

    def nothing(self) -> LogBatch:
        return LogBatch(self._last, self._last, b"", 0, self._clock.utc())

    def close(self) -> None:
        if self._wire is not None:
            self._wire.close()
        if self._attaching is not None:
            self._attaching.close()
        self._wire = self._attaching = None
        self._held.clear()

    def _attached(self) -> Wire | None:
        """The connection, once it stands; a little nearer to it each time."""
        if self._attaching is None:
            self._attaching = psync.continuing(self._endpoint, self._clock, self._last)
        try:
            next(self._attaching)
        except StopIteration as end:
            self._wire, self._attaching = end.value, None
            self._spoken, self._heard = 0.0, self._clock.monotonic()
        return self._wire

    def _keep_alive(self, wire: Wire) -> None:
        now = self._clock.monotonic()
        if now - self._spoken >= ACKNOWLEDGE_EVERY:
            with suppress(wires.ConnectionLost):  # what the server sent before is still to be read; then reading says so
                psync.acknowledge(wire.within(psync.WAIT))
            self._spoken = now
        if now - self._heard > psync.PATIENCE:
            raise wires.ConnectionLost(f"{wire.name} has sent nothing for {psync.PATIENCE:g} s, not even its own sign of life.")

    def _gather(self, wire: Wire, wait: float) -> None:
        """What a server sent before it died is kept: there may be no other copy of it."""
        begin, lingered = len(self._held), 0.0
        try:
            while len(self._held) - begin < BATCH_BYTES and lingered < LINGER and wire.waiting(wait):
                self._held += wire.receive(BATCH_BYTES)
                self._heard, wait = self._clock.monotonic(), LINGER / 4
                lingered += wait
        except wires.ConnectionLost:
            if len(self._held) == begin:
                raise

    def _cut(self) -> LogBatch:
        units = list(stream.units(self._held, self._database))
        if not units:
            return self.nothing()
        now, end = self._clock.utc(), units[-1].end
        begin = self._last
        frame = stream.Frame(begin.timeline, begin.sequence[0], now.timestamp(), self._database, bytes(self._held[:end]))
        del self._held[:end]
        self._database = units[-1].database
        self._last = Position(begin.timeline, (frame.end,), frame.at)
        return LogBatch(begin, self._last, frame.pack(), stream.writes(units), now)


def _raise_hopeless(error: errors.StoreError) -> None:
    """What waiting does not mend: we are not let in, or may not replicate."""
    if isinstance(error, wires.ErrorReply) and error.code in _HOPELESS:
        raise error
