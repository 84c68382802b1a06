"""Transactions put together from the entries of the log, so that each is applied whole, at its commit, or not at all.

Forms (server: src/mongo/db/repl/README.md, "Transactions"): one applyOps entry; a chain of them linked by prevOpTime, `partialTxn` on all
but the last; and either of these with `prepare`, committed or aborted by an entry of its own later. The server writes what it does in one
step for a command (many deletions) in the same way, without a session. What an insertion of many documents does in several steps (8.0 on)
looks like a transaction, session and links and all, but for its `multiOpType`. Knows nothing of servers.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from drplatform.model import errors
from drplatform.stores.mongodb import oplog, raw
from drplatform.stores.mongodb.members import Stamp
from drplatform.stores.mongodb.oplog import Entry

Session = tuple[bytes, int]
_SEPARATE = 1
"""The `multiOpType` (server: oplog_entry.idl) of an applyOps that takes effect by itself, whatever it is linked with."""


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
        verb = entry.verb
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
        if entry.op != oplog.COMMAND or entry.verb not in ("applyOps", "commitTransaction"):
            return None
        session = _session_of(entry)
        return None if session is None or session in self._open else entry.previous

    def _operations(self, entry: Entry) -> Iterator[Unit]:
        session = _session_of(entry)
        if session is None:
            yield Unit(entry.ts, tuple(oplog.inner_operations(entry)))
            return
        if self.before(entry):
            raise errors.LogGap(f"The log holds a transaction at {entry.ts} but not its beginning; recover to a position before it.")
        operations = self._open.pop(session, [])
        operations += oplog.inner_operations(entry)
        if entry.told(b"partialTxn") or entry.told(b"prepare"):
            self._open[entry.transaction or _of_chain(entry.ts)] = operations
        else:
            yield Unit(entry.ts, tuple(operations))

    def _end(self, entry: Entry) -> list[Entry]:
        operations = self._open.pop(_session(entry), None)
        if operations is None:
            raise errors.LogGap(
                f"The log holds the commit at {entry.ts} of a transaction that it does not hold; recover to a position before."
            )
        return operations


def _session_of(entry: Entry) -> Session | None:
    """The transaction that an entry belongs to; None when it takes effect by itself. One without a session is known by its latest entry.

    Raises RecoveryFailed for a kind that this version does not know.
    """
    kind = entry.value(b"multiOpType") or 0
    if kind not in (0, _SEPARATE):
        raise errors.RecoveryFailed(
            f"The log holds writes at {entry.ts} that are linked in a way ({kind}) that this version does not know; use a newer one."
        )
    if kind == _SEPARATE:
        return None
    if entry.transaction is None and (entry.previous or entry.told(b"partialTxn")):
        return _of_chain(entry.previous or entry.ts)
    return entry.transaction


def _of_chain(latest: Stamp) -> Session:
    return raw.timestamp(b"latest", latest), 0


def _session(entry: Entry) -> Session:
    session = entry.transaction
    if session is None:
        raise errors.IntegrityError(f"The log's entry at {entry.ts} ends a transaction but does not say which; do not trust it.")
    return session
