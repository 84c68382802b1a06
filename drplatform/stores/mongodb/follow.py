"""Following the oplog: batches without a gap, only what the majority has, through elections and cuts.

Reads one member until it is lost or silent, then chooses again the one that knows most.
"""

import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

from bson.timestamp import Timestamp

from drplatform.model import errors
from drplatform.model.ports import LogBatch
from drplatform.model.position import Position
from drplatform.stores.mongodb import members, oplog, raw
from drplatform.stores.mongodb import wire as wires
from drplatform.stores.mongodb.members import Members
from drplatform.stores.mongodb.wire import Wire

_AWAIT_MILLISECONDS = 200
_ANSWER_SECONDS = 5.0
_LOOK_SECONDS = 0.15
"""For each member, so that three that do not answer still leave half a second between batches."""
_SILENT_SECONDS = 2.0
"""After so long without an entry another member may know more (this one may be cut off): look again."""
_RETRY_SECONDS = 0.1
_PATIENCE_SECONDS = 60.0
"""Where the log of those who answer does not reach back, one that is silent may have what is wanted, and be no more than restarted."""
_PACE_SECONDS = 0.2
_CATCHING_UP_BYTES = 1024 * 1024
"""An answer costs the server as much as reading some dozens of entries; it wakes the reader for each commit. So what comes is asked for at this
pace, but at once where there is more than so much of it."""
_FAILED_TO_PARSE, _BAD_VALUE, _AUTHENTICATION_FAILED = 9, 2, 18
_HOPELESS = frozenset({_FAILED_TO_PARSE, _BAD_VALUE, wires.UNAUTHORIZED, _AUTHENTICATION_FAILED})
_OVERRUN = frozenset({136, 286})
"""CappedPositionLost, ChangeStreamHistoryLost: the oplog was overwritten under the reader."""


def follow(of: Members, after: Position, stop: threading.Event) -> Iterator[LogBatch]:
    """See `ports.LogCapture`."""
    following = Following(of, stop, after)
    while not stop.is_set():
        yield following.nothing()
        try:
            yield from following.session()
        except wires.ServerError as error:
            if error.code in _HOPELESS:
                raise
            if error.code in _OVERRUN:
                following.missed()
        except wires.ConnectionLost:
            pass  # another member, or this one again
        of.clock.wait(stop, _RETRY_SECONDS)


@dataclass
class Following:
    """`reached` is the last entry that was handed out."""

    members: Members
    stop: threading.Event
    reached: Position
    _missed_at: float | None = None

    def nothing(self) -> LogBatch:
        return LogBatch(self.reached, self.reached, b"", 0, self.members.clock.utc())

    def missed(self) -> None:
        """The log of a member does not reach back. Raises LogGap, at once when all members were asked, else after some patience."""
        now, silent = self.members.clock.monotonic(), self.members.silent
        self._missed_at = now if self._missed_at is None else self._missed_at
        if not silent or now - self._missed_at > _PATIENCE_SECONDS:
            others = f" of those who answer ({', '.join(map(str, silent))} did not for {_PATIENCE_SECONDS:g} s)" if silent else ""
            raise errors.LogGap(f"The MongoDB oplog{others} does not hold what came after {self.reached} any more; take a new full backup.")

    def session(self) -> Iterator[LogBatch]:
        """Batches from one member until it is lost, silent, or has nothing to begin with."""
        wire = self.members.best_now(_LOOK_SECONDS, self.reached)
        if wire is None:
            return
        with wire.within(_ANSWER_SECONDS):
            self._check(wire)
            command = {"find": "oplog.rs", "filter": {"ts": {"$gte": Timestamp(*self.reached.sequence)}}}
            tail = {"tailable": True, "awaitData": True, "readConcern": {"level": "majority"}, "maxTimeMS": int(_ANSWER_SECONDS * 1000)}
            with closing(wire.batches("local", {**command, **tail}, {"maxTimeMS": _AWAIT_MILLISECONDS})) as batches:
                yield from self._hand_out(batches)

    def _hand_out(self, batches: Iterator[bytes]) -> Iterator[LogBatch]:
        clock, began = self.members.clock, False
        heard = clock.monotonic()
        for batch in batches:
            documents = list(raw.documents(batch))
            if documents and not began:
                began = self._begins(documents.pop(0))
                if not began:
                    return
            if documents:
                heard = clock.monotonic()
            yield self._batch(documents)
            if documents and len(batch) < _CATCHING_UP_BYTES:
                clock.wait(self.stop, _PACE_SECONDS)
            if self.stop.is_set() or clock.monotonic() - heard > _SILENT_SECONDS:
                return

    def _begins(self, first: bytes) -> bool:
        """The entry that was reached must be there still: otherwise some after it may be gone too."""
        if oplog.Entry(first).ts != self.reached.sequence:
            self.missed()
            return False
        self._missed_at = None
        return True

    def _batch(self, documents: list[bytes]) -> LogBatch:
        entries, last = oplog.without_noops(documents)
        if last is None:
            return self.nothing()
        previous, self.reached = self.reached, members.at(self.reached.timeline, last)
        block = oplog.framed(previous.timeline, _sequence(previous), last, entries)
        return LogBatch(previous, self.reached, block, len(entries), self.members.clock.utc())

    def _check(self, wire: Wire) -> None:
        found = members.identity(wire)
        if found != self.reached.timeline:
            raise errors.LogGap(
                f"MongoDB at {wire.address} is now the replica set {found}, not {self.reached.timeline}; take a full backup of it."
            )


def _sequence(position: Position) -> members.Stamp:
    seconds, ordinal = position.sequence
    return seconds, ordinal
