"""The oplog as blocks: what one entry says, how blocks are framed, and how they are read for people.

A block is a sequence of BSON documents: a frame `{drplatform: "log", set: id, after: ts, until: ts, entries: n}`, then the n
entries of the replica set's oplog, as they came, that lie in (after, until]. Noops are left out. Frames let a reader see that nothing is missing between and within
blocks, which entries themselves do not. Knows nothing of connections.

Entry format: the server's src/mongo/db/repl/oplog_entry.idl.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import bson
from bson.timestamp import Timestamp

from drplatform.model import errors
from drplatform.model.ports import Operation
from drplatform.stores.mongodb import members, raw
from drplatform.stores.mongodb.members import Stamp
from drplatform.stores.mongodb.wire import OPTIONS

_FRAME = b"drplatform"
_VERBS = {"i": "insert", "u": "update", "d": "delete"}
NOOP = "n"
COMMAND = "c"
_SHOWN = {"commitIndexBuild": "createIndexes"}
_PASSED = frozenset({"startIndexBuild", "abortIndexBuild", "commitTransaction", "abortTransaction", "dbCheck"})


class Entry:
    """One entry of the oplog, or one operation of a transaction's entry; fields are decoded when asked for."""

    __slots__ = ("_fields", "raw")

    def __init__(self, document: bytes) -> None:
        self.raw = document
        self._fields = raw.fields(document)

    def element(self, name: bytes) -> bytes:
        """The encoded field; empty when it is not there."""
        found = self._fields.get(name)
        return self.raw[found.begin : found.end] if found else b""

    def value(self, name: bytes) -> Any:
        found = self._fields.get(name)
        return raw.value(self.raw, found) if found else None

    def content(self, name: bytes) -> bytes:
        """An embedded document's bytes."""
        found = self._fields[name]
        return self.raw[found.value : found.end]

    @property
    def op(self) -> str:
        return raw.text(self.raw, self._fields[b"op"])

    @property
    def ns(self) -> str:
        return raw.text(self.raw, self._fields[b"ns"])

    @property
    def ts(self) -> Stamp:
        return raw.stamp(self.raw, self._fields[b"ts"])

    @property
    def framing(self) -> bool:
        """Whether it is a frame and no entry."""
        return _FRAME in self._fields

    @property
    def ui(self) -> bytes:
        """The collection's UUID; empty when the entry concerns none."""
        found = self._fields.get(b"ui")
        return self.raw[found.value + 5 : found.end] if found else b""

    @property
    def value_is_change(self) -> bool:
        """Whether an update says what changes ($v), instead of the whole new document."""
        return b"$v" in raw.fields(self.content(b"o"))

    @property
    def database(self) -> str:
        return self.ns.partition(".")[0]

    @property
    def command(self) -> dict[str, Any]:
        """What a command entry does: its first field names it."""
        decoded: dict[str, Any] = self.value(b"o")
        return decoded

    @property
    def verb(self) -> str:
        """Which command a command entry does."""
        return next(iter(raw.fields(self.content(b"o")))).decode()

    def told(self, name: bytes) -> Any:
        """One field of what a command entry does; the others, which may be many operations, are not decoded."""
        o = self.content(b"o")
        found = raw.fields(o).get(name)
        return raw.value(o, found) if found else None

    @property
    def transaction(self) -> tuple[bytes, int] | None:
        """Session and number, where the entry belongs to one."""
        number = self.value(b"txnNumber")
        return None if number is None else (self.element(b"lsid"), number)

    @property
    def previous(self) -> Stamp | None:
        """The entry that this one continues, where it belongs to a chain of several."""
        linked = self.value(b"prevOpTime")
        return (linked["ts"].time, linked["ts"].inc) if linked and linked["ts"].time else None


def subject(entry: Entry, command: dict[str, Any]) -> str:
    """The namespace that a command entry concerns; of dropDatabase the database."""
    verb, target = next(iter(command.items()))
    if verb == "renameCollection":
        return str(target)
    return f"{entry.database}.{target}" if isinstance(target, str) else entry.database


def inner_operations(entry: Entry) -> list[Entry]:
    """The operations that an applyOps entry carries."""
    o = entry.content(b"o")
    found = raw.fields(o)[b"applyOps"]
    array = o[found.value : found.end]
    return [Entry(array[e.value : e.end]) for e in raw.fields(array).values()]


def with_operations(entry: Entry, operations: list[bytes]) -> bytes:
    """An applyOps entry as it is, with these operations in place of its own."""
    o = entry.content(b"o")
    inner = (raw.array(b"applyOps", operations) if name == b"applyOps" else o[e.begin : e.end] for name, e in raw.fields(o).items())
    within = b"\x03o\0" + raw.assemble(inner)
    return raw.assemble(within if name == b"o" else entry.raw[e.begin : e.end] for name, e in raw.fields(entry.raw).items())


# -- frames -------------------------------------------------------------------------------------------------------------------


def framed(timeline: str, after: Stamp, until: Stamp, entries: list[bytes]) -> bytes:
    """A block. `entries` are without noops."""
    bounds = {"after": Timestamp(*after), "until": Timestamp(*until)}
    return b"".join([bson.encode({_FRAME.decode(): "log", "set": timeline, **bounds, "entries": len(entries)}), *entries])


def without_noops(documents: Iterable[bytes]) -> tuple[list[bytes], Stamp | None]:
    """The entries that are no noops, and the timestamp of the last entry."""
    kept, last = list[bytes](), None
    for document in documents:
        entry = Entry(document)
        last = entry.ts
        if entry.op != NOOP:
            kept.append(document)
    return kept, last


@dataclass
class Reader:
    """Reads blocks in order. `reached` is the position up to which every entry was seen; None before the first frame. `timeline` is the
    replica set whose log this is; empty before the first frame.

    Raises LogGap when a frame does not continue what was read, IntegrityError when a block does not hold what its frame says.
    """

    reached: Stamp | None = None
    timeline: str = ""

    def entries(self, blocks: Iterable[bytes]) -> Iterator[tuple[Entry, Stamp]]:
        """Each entry with the position just before it: that of the entry before it, or where the frame begins."""
        missing, until, before = 0, self.reached, self.reached
        for document in (document for block in blocks for document in raw.documents(block)):
            entry = Entry(document)
            if entry.framing:
                self._complete(missing, until)
                before, until, missing = _frame(entry)
                self._continues(entry.value(b"set"), before)
                continue
            missing -= 1
            if before is None or until is None or missing < 0 or not before < entry.ts <= until:
                raise errors.IntegrityError("A block of the MongoDB log holds entries that its frame does not; do not trust it.")
            yield entry, before
            before = entry.ts
        self._complete(missing, until)

    def _continues(self, timeline: str, after: Stamp) -> None:
        if timeline != (self.timeline or timeline):
            raise errors.LogGap(f"The log of the MongoDB set {self.timeline} is followed by that of {timeline}; choose one history.")
        self.timeline = timeline
        if self.reached is not None and after > self.reached:
            raise errors.LogGap(f"The MongoDB log has a hole between {self.reached} and {after}; recover to a position before it.")

    def _complete(self, missing: int, until: Stamp | None) -> None:
        if missing:
            raise errors.IntegrityError(f"A block of the MongoDB log lacks {missing} of its entries; do not trust it.")
        if until is not None:
            self.reached = max(until, self.reached or until)


def _frame(entry: Entry) -> tuple[Stamp, Stamp, int]:
    after, until = entry.value(b"after"), entry.value(b"until")
    return (after.time, after.inc), (until.time, until.inc), int(entry.value(b"entries"))


def headed(blocks: Iterator[bytes], what: str) -> tuple[dict[str, Any], Iterator[bytes]]:
    """The head of a log in a backup, and the frames after it. Raises IntegrityError when it is another's."""
    whole = iter(blocks)
    first = next(whole, b"")
    head = bson.decode(next(raw.documents(first), b"\5\0\0\0\0"), OPTIONS)
    if head.get("drplatform") != what:
        raise errors.IntegrityError("The log of this MongoDB backup has no head; do not trust it.")
    return head, chain([first[int.from_bytes(first[:4], "little") :]], whole)


# -- for people ---------------------------------------------------------------------------------------------------------------


def operations(block: bytes) -> Iterator[Operation]:
    """What the entries of a block do.

    The position before one is that of the entry before, or the block's beginning: what may lie between are noops. Operations in a
    transaction are told at the entry that carries them.
    """
    reader = Reader()
    for entry, before in reader.entries([block]):
        for verb, named in _told(entry):
            yield Operation(members.at(reader.timeline, entry.ts), members.at(reader.timeline, before), verb, named)


def _told(entry: Entry) -> Iterator[tuple[str, str]]:
    if entry.op in _VERBS:
        yield _VERBS[entry.op], entry.ns
    elif entry.op == COMMAND and entry.verb == "applyOps":
        for inner in inner_operations(entry):
            yield from _told(inner)
    elif entry.op == COMMAND and entry.verb not in _PASSED:
        yield _SHOWN.get(entry.verb, entry.verb), subject(entry, entry.command)
