"""Transactions put together from the entries of the log, so that each is applied whole, at its commit, or not at all.

Forms (server: src/mongo/db/repl/README.md, "Transactions"): one applyOps entry; a chain of them linked by prevOpTime, `partialTxn` on all
but the last; and either of these with `prepare`, committed or aborted by an entry of its own later. Knows nothing of servers.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from drplatform.model import errors
from drplatform.stores.mongodb import oplog
from drplatform.stores.mongodb.members import Stamp
from drplatform.stores.mongodb.oplog import Entry

Session = tuple[bytes, int]


@dataclass(frozen=True)
class Unit:
    """Operations that take effect together at `ts`, in this order: those of a transaction, or a single one."""

    ts: Stamp
    operations: tuple[Entry, ...]


@dataclass
class Assembly:
    """Fed with entries in the order of the log. Holds the operations of transactions that have not ended."""

    _open: dict[Session, list[Entry]] = field(default_factory=dict)

    @property
    def open(self) -> list[tuple[Session, Entry]]:
        """The operations of transactions that have not ended, in order."""
        return [(session, entry) for session, entries in self._open.items() for entry in entries]

    def put(self, session: Session, operation: Entry) -> None:
        """Have an operation of a transaction that has not ended."""
        self._open.setdefault(session, []).append(operation)

    def feed(self, entry: Entry) -> Iterator[Unit]:
        """What takes effect with this entry. Raises LogGap when the beginning of a transaction was never seen."""
        if entry.op == oplog.NOOP:
            return
        if entry.op != oplog.COMMAND:
            yield Unit(entry.ts, (entry,))
            return
        verb = _verb(entry)
        if verb == "applyOps":
            yield from self._operations(entry)
        elif verb == "commitTransaction":
            yield Unit(entry.ts, tuple(self._end(entry)))
        elif verb == "abortTransaction":
            self._open.pop(_session(entry), None)
        else:
            yield Unit(entry.ts, (entry,))

    def before(self, entry: Entry) -> Stamp | None:
        """Where the entry lies that this one continues, when it belongs to a transaction whose beginning was not fed."""
        if entry.op != oplog.COMMAND or _verb(entry) not in ("applyOps", "commitTransaction") or entry.transaction is None:
            return None
        previous = entry.value(b"prevOpTime")
        began_earlier = previous and previous["ts"].time and _session(entry) not in self._open
        return (previous["ts"].time, previous["ts"].inc) if began_earlier else None

    def _operations(self, entry: Entry) -> Iterator[Unit]:
        if entry.transaction is None:
            yield Unit(entry.ts, tuple(oplog.inner_operations(entry)))
            return
        session, command = _session(entry), entry.command
        self._check(entry, session)
        self._open.setdefault(session, []).extend(oplog.inner_operations(entry))
        if not command.get("partialTxn") and not command.get("prepare"):
            yield Unit(entry.ts, tuple(self._end(entry)))

    def _check(self, entry: Entry, session: Session) -> None:
        previous = entry.value(b"prevOpTime")
        if previous and previous["ts"].time and session not in self._open:
            raise errors.LogGap(f"The log holds a transaction at {entry.ts} but not its beginning; recover to a position before it.")

    def _end(self, entry: Entry) -> list[Entry]:
        operations = self._open.pop(_session(entry), None)
        if operations is None:
            raise errors.LogGap(
                f"The log holds the commit at {entry.ts} of a transaction that it does not hold; recover to a position before."
            )
        return operations


def _session(entry: Entry) -> Session:
    session = entry.transaction
    if session is None:
        raise errors.IntegrityError(f"The log's entry at {entry.ts} ends a transaction but does not say which; do not trust it.")
    return session


def _verb(entry: Entry) -> str:
    return next(iter(entry.command))
