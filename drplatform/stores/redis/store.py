"""The data store: Redis or Valkey at an endpoint. Every call makes its own connection, so that calls may come from several threads."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager

from drplatform.model.backup import Digest
from drplatform.model.clock import Clock
from drplatform.model.ledger import Mark
from drplatform.model.ports import Address, Dump, Endpoint, LogBatch, Marker, Operation, Prober, Restore, ResumedRestore
from drplatform.model.position import Position
from drplatform.model.replication import Replication
from drplatform.stores.redis import content, digest, follow, marks, note, replication, restore, snapshot, stream
from drplatform.stores.redis import seed as seeds
from drplatform.stores.redis import wire as wires
from drplatform.stores.redis.wire import Wire


class RedisStore:
    """See `ports.DataStore`, `ports.LogCapture`, `ports.Resumable` and `ports.Replicated`."""

    name = "redis"
    kind = "redis"
    ordered = True

    def __init__(self, endpoint: Endpoint, clock: Clock) -> None:
        self.endpoint, self._clock = endpoint, clock

    def identity(self) -> str:
        """The server's run id: another one after each start of the process."""
        with self._dial() as wire:
            return wires.info(wire, "server")["run_id"]

    def version(self) -> str:
        with self._dial() as wire:
            return content.version(wire)

    def position(self) -> Position:
        """The replication offset. A server begins a new history when its first replica joins (a snapshot is one)."""
        with self._dial() as wire:
            seen = wires.info(wire, "replication")
        return Position(seen["master_replid"], (int(seen["master_repl_offset"]),), self._clock.utc().timestamp())

    def occupants(self) -> tuple[str, ...]:
        with self._dial() as wire:
            return content.occupants(wire)

    def dump(self) -> AbstractContextManager[Dump]:
        return snapshot.snapshot(self.endpoint, self._clock)

    def restore(self) -> AbstractContextManager[Restore]:
        return self.resume("a restore", again=False)

    def resume(self, plan: str, again: bool) -> AbstractContextManager[ResumedRestore]:
        return restore.restore(self.endpoint, self._clock, plan, again)

    def unfinished(self) -> str:
        with self._dial() as wire:
            found = note.unfinished(wire)
        return found.plan if found else ""

    def halfway(self) -> str:
        try:
            return self.unfinished()
        except wires.ErrorReply as error:
            if error.code != "NOPERM":
                raise
            return ""  # an account that may only replicate

    def digest(self) -> Mapping[str, Digest]:
        return digest.digests(self.endpoint, self._clock)

    def seed(self, seed: int, items: int) -> None:
        with self._dial() as wire:
            seeds.seed(wire, seed, items)

    def marker(self, client: str) -> Marker:
        return marks.RedisMarker(self.endpoint, self._clock, client)

    def marks(self) -> Iterator[Mark]:
        return marks.marks(self._dial)

    def prober(self, anchor: Mark, payload: bytes) -> Prober:
        return marks.RedisProber(self.endpoint, self._clock, anchor, payload)

    def follow(self, after: Position, stop: threading.Event) -> Iterator[LogBatch]:
        """Batches end between commands and outside transactions."""
        return follow.follow(self.endpoint, self._clock, after, stop)

    def operations(self, block: bytes) -> Iterator[Operation]:
        return stream.operations(block)

    def replication(self) -> Replication:
        return replication.look(self.endpoint, self._clock)

    def promote(self, survivors: tuple[Address, ...], lost: tuple[Address, ...]) -> Address:
        """The survivor that has most of the stream."""
        return replication.promote(self.endpoint, survivors, self._clock)

    def hand_over(self, to: tuple[Address, ...], within: float) -> Address:
        return replication.hand_over(self.endpoint, to, self._clock, within)

    def close(self) -> None:
        """Nothing is held between calls."""

    def _dial(self) -> Wire:
        return wires.dial(self.endpoint, self._clock)
