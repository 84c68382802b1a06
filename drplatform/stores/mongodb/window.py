"""A stretch of the server's own oplog between two backups, as the units that take effect in it.

Transactions that began before the stretch and end in it are whole: their beginnings are looked up. Knows nothing of what is done with
the units.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bson.timestamp import Timestamp

from drplatform.model import errors
from drplatform.stores.mongodb import oplog, raw
from drplatform.stores.mongodb.members import Stamp
from drplatform.stores.mongodb.oplog import Entry
from drplatform.stores.mongodb.transactions import Assembly, Unit
from drplatform.stores.mongodb.wire import Wire

_MAJORITY = {"level": "majority"}


@dataclass(frozen=True)
class Window:
    """What happened after `since`, up to and including `until`. May be read more than once."""

    dial: Callable[[], Wire]
    since: Stamp
    until: Stamp

    def units(self) -> Iterator[Unit]:
        """In order. Raises LogGap when the oplog does not reach back to `since`."""
        transactions = Assembly()
        with self.dial() as wire, self.dial() as other:
            for entry in self._entries(wire):
                if before := transactions.before(entry):
                    for earlier in self._beginning(other, before):
                        list(transactions.feed(earlier))
                yield from transactions.feed(entry)

    def _entries(self, wire: Wire) -> Iterator[Entry]:
        bounds = {"$gte": Timestamp(*self.since), "$lte": Timestamp(*self.until)}
        command = {"find": "oplog.rs", "filter": {"ts": bounds}, "readConcern": _MAJORITY, "noCursorTimeout": True}
        reached: Stamp | None = None
        for batch in wire.batches("local", command):
            for entry in map(Entry, raw.documents(batch)):
                if reached is None and entry.ts != self.since:
                    raise self._gap()
                if entry.ts > self.since:
                    yield entry
                reached = entry.ts
        if reached is None or reached < self.until:
            raise self._gap()

    def _beginning(self, wire: Wire, at: Stamp | None) -> list[Entry]:
        """The entries of a transaction up to that position, in order."""
        found: list[Entry] = []
        while at:
            entry = self._entry(wire, at)
            found.insert(0, entry)
            at = entry.previous
        return found

    def _entry(self, wire: Wire, at: Stamp) -> Entry:
        command = {"find": "oplog.rs", "filter": {"ts": Timestamp(*at)}, "readConcern": _MAJORITY}
        for batch in wire.batches("local", command):
            for document in raw.documents(batch):
                return Entry(document)
        raise self._gap()

    def _gap(self) -> errors.LogGap:
        return errors.LogGap(
            f"The MongoDB oplog does not reach back to {self.since}, where the last backup ended; take a full backup (and enlarge the "
            "oplog with replSetResizeOplog when this happens again)."
        )


def as_applied(unit: Unit) -> bytes:
    """A unit as one entry of the log, whatever form it came in."""
    first = unit.operations[0]
    if len(unit.operations) == 1 and first.element(b"ts"):
        return first.raw
    operations = raw.assemble([raw.array(b"applyOps", [each.raw for each in unit.operations])])
    named = [raw.string(b"op", oplog.COMMAND), raw.string(b"ns", "admin.$cmd"), raw.timestamp(b"ts", unit.ts)]
    return raw.assemble([*named, b"\x03o\0" + operations])
