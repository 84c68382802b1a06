"""Operations of the log applied to a target: documents in batches, commands one by one, in order.

Two modes. The dump's own log (`indexes` given) repeats what may be there already: collections are matched by UUID, operations on what was
gone before it was read are passed over, and indexes are only noted, because uniqueness need not hold in between. The log that follows
applies from one consistent state to the next: there anything that does not fit raises RecoveryFailed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from drplatform.model import errors
from drplatform.stores.mongodb import chosen, namespaces, oplog
from drplatform.stores.mongodb.catalogue import Collection
from drplatform.stores.mongodb.chosen import Chosen
from drplatform.stores.mongodb.members import Stamp
from drplatform.stores.mongodb.oplog import Entry
from drplatform.stores.mongodb.progress import Indexes, Progress
from drplatform.stores.mongodb.target import Target
from drplatform.stores.mongodb.transactions import Unit

_DOCUMENTS = frozenset("iud")
_ASIDE = "drplatform-aside-"


@dataclass
class Replay:
    """`cuts`: by capped collection, up to where inserts are in the dump already. `made` is told of each collection before it is made.

    `changing`: called before anything but documents is touched; `touched` is told of each collection whose documents are, by the source's
    UUID, also where an earlier attempt did it. `progress`: announces what is applied; what it says is done is passed over.
    """

    target: Target
    indexes: Indexes | None = None
    cuts: Mapping[bytes, Stamp] = field(default_factory=dict)
    chosen: Chosen | None = None
    made: Callable[[str], None] = lambda namespace: None
    changing: Callable[[], None] = lambda: None
    touched: Callable[[bytes], None] = lambda uuid: None
    progress: Progress | None = None
    _at: Stamp = (0, 0)
    _done: Stamp = (0, 0)

    def __post_init__(self) -> None:
        if self.progress:
            self._done = self.progress.done
            self.target.before = self._announce

    def apply(self, unit: Unit) -> None:
        for entry in unit.operations:
            if entry.op in _DOCUMENTS or (entry.op == oplog.COMMAND and entry.verb == "emptycapped"):
                self.touched(entry.ui)
        if self.progress is None:
            self._apply(unit)
            return
        if unit.ts <= self.progress.done:
            return
        if any(entry.op == oplog.COMMAND for entry in unit.operations):
            self._change(unit, self.progress)
            return
        if self.target.tolerant and unit.ts > self.progress.until:
            self._flush(self._at)
            self.target.tolerant = False
        self._at = unit.ts
        self._apply(unit)
        if self.target.half_full:
            self._flush(unit.ts)

    def _change(self, unit: Unit, progress: Progress) -> None:
        self._flush(self._at)
        self.target.tolerant, self._at = False, unit.ts
        progress.change()
        self.target.before = lambda places: None
        self._apply(unit)
        self.target.flush()
        self.target.before = self._announce
        progress.changed(unit.ts, self.target.names)
        self._done = unit.ts

    def _flush(self, until: Stamp) -> None:
        self.target.flush()
        self._done = max(self._done, until)

    def _announce(self, places: set[str]) -> None:
        assert self.progress
        self.progress.announce(self._done, max(self._at, self._done), places)

    def _apply(self, unit: Unit) -> None:
        for entry in unit.operations:
            if entry.op in _DOCUMENTS:
                self._document(unit, entry)
            elif entry.op == oplog.COMMAND:
                self._command(entry)
            elif entry.op != oplog.NOOP:
                raise errors.RecoveryFailed(f"The log holds an operation {entry.op!r} that this version does not know; use a newer one.")

    def end(self) -> None:
        """Apply what is pending. Raises RecoveryFailed when a collection that stood in the way was never moved on."""
        self.target.flush()
        left = [name for name in self.target.names.values() if namespaces.split(name)[1].startswith(_ASIDE)]
        if left:
            raise errors.RecoveryFailed(f"The dump's log leaves {', '.join(left)} without a name; take another backup.")

    # -- documents ------------------------------------------------------------------------------------------------------------

    def _document(self, unit: Unit, entry: Entry) -> None:
        if not namespaces.protected(entry.ns):
            return
        namespace = self._name(entry)
        inserted_before_read = entry.op == "i" and unit.ts <= self.cuts.get(entry.ui, (0, 0))
        if namespace and not inserted_before_read:
            self.target.put(entry, namespace)

    def _name(self, entry: Entry) -> str | None:
        """Where the entry's collection is now; None when the dump holds it no more."""
        found = self.target.names.get(entry.ui)
        if found is None and self.indexes is None and self.chosen is None:
            raise errors.RecoveryFailed(
                f"The log at {entry.ns} concerns a collection that neither the backup nor the log before makes; take another backup."
            )
        return found

    # -- commands -------------------------------------------------------------------------------------------------------------

    def _command(self, entry: Entry) -> None:
        command = entry.command
        verb = next(iter(command))
        if not namespaces.protected(oplog.subject(entry, command)):
            return
        act = _COMMANDS.get(verb)
        if act is None:
            raise errors.RecoveryFailed(f"The log holds a command {verb!r} that this version does not know; use a newer one.")
        if self.indexes is None or verb not in _NOTED:
            self.changing()
        act(self, entry, command)

    def _create(self, entry: Entry, command: dict[str, Any]) -> None:
        if self.indexes is not None and entry.ui in self.target.names:
            return
        namespace = chosen.place(self.chosen, oplog.subject(entry, command))
        if namespace is None:
            return
        self._make_way(namespace)
        self.made(namespace)
        options = {name: value for name, value in list(command.items())[1:] if name != "idIndex"}
        self.target.create(Collection(namespace, entry.ui, options, command.get("idIndex")))
        if self.indexes is not None:
            self.indexes[entry.ui] = {}

    def _drop(self, entry: Entry, command: dict[str, Any]) -> None:
        namespace = self._name(entry)
        if namespace is None:
            return
        self.target.drop(namespace)
        self._forget(entry.ui)

    def _forget(self, uuid: bytes) -> None:
        self.target.names.pop(uuid, None)
        if self.indexes is not None:
            self.indexes.pop(uuid, None)

    def _rename(self, entry: Entry, command: dict[str, Any]) -> None:
        drop_target, namespace = command.get("dropTarget"), self._name(entry)
        to = chosen.place(self.chosen, str(command["to"]))
        if self.chosen and (namespace is None or to is None):
            self._rename_across(entry, namespace, to, command)
            return
        assert to is not None  # everything has a place where nothing is chosen
        self.made(to)
        if self.indexes is None:
            self.target.rename(entry.ui, to, bool(drop_target) and (self.chosen is None or self.target.occupant(to) is not None))
            return
        if isinstance(drop_target, bytes) and bytes(drop_target) in self.target.names:
            self._drop_by_uuid(bytes(drop_target))
        if namespace is not None and namespace != to:
            self._make_way(to)
            self.target.rename(entry.ui, to, False)

    def _rename_across(self, entry: Entry, namespace: str | None, to: str | None, command: dict[str, Any]) -> None:
        """A rename out of the chosen collections, or into them."""
        if namespace is not None:
            self._drop_by_uuid(entry.ui)
        elif to is not None:
            raise errors.RecoveryFailed(
                f"{oplog.subject(entry, command)} was renamed to {command['to']} on the way to this recovery point; choose it too."
            )

    def _drop_by_uuid(self, uuid: bytes) -> None:
        self.target.drop(self.target.names[uuid])
        self._forget(uuid)

    def _make_way(self, namespace: str) -> None:
        """While the dump's log is applied, a name can be that of a collection that had another one at this time."""
        occupant = self.target.occupant(namespace) if self.indexes is not None else None
        if occupant is not None:
            database, _ = namespaces.split(namespace)
            self.target.rename(occupant, f"{database}.{_ASIDE}{occupant.hex()}", False)

    def _create_indexes(self, entry: Entry, command: dict[str, Any]) -> None:
        self._build(entry, [{name: value for name, value in command.items() if name != "createIndexes"}])

    def _commit_index_build(self, entry: Entry, command: dict[str, Any]) -> None:
        self._build(entry, list(command["indexes"]))

    def _build(self, entry: Entry, specs: list[dict[str, Any]]) -> None:
        namespace = self._name(entry)
        if self.indexes is not None:
            self.indexes.get(entry.ui, {}).update({spec["name"]: spec for spec in specs})
        elif namespace:
            self.target.build(namespace, specs)

    def _drop_indexes(self, entry: Entry, command: dict[str, Any]) -> None:
        namespace, name = self._name(entry), command["index"]
        if self.indexes is not None:
            self.indexes.get(entry.ui, {}).pop(name, None)
        elif namespace:
            database, collection = namespaces.split(namespace)
            self.target.call(database, {"dropIndexes": collection, "index": name})

    def _collection_modified(self, entry: Entry, command: dict[str, Any]) -> None:
        namespace = self._name(entry)
        if namespace is None:
            return
        if self.indexes is not None and "index" in command:
            _modify(self.indexes.get(entry.ui, {}), command["index"])
            return
        self._as_it_is(entry, command)

    def _as_it_is(self, entry: Entry, command: dict[str, Any]) -> None:
        namespace = self._name(entry)
        if namespace is not None:
            database, name = namespaces.split(namespace)
            self.target.command(database, {**command, next(iter(command)): name})

    def _nothing(self, entry: Entry, command: dict[str, Any]) -> None:
        """What other entries tell too (an index build when it is committed, a database's drop by those of its collections), and what changes
        nothing: members that were asked to compare what they hold."""


def _modify(indexes: dict[str, dict[str, Any]], change: Mapping[str, Any]) -> None:
    """Change a noted index the way collMod does; a flag that is off is not listed."""
    spec = indexes.get(change["name"])
    if spec is not None:
        spec.update({name: value for name, value in change.items() if name != "name"})
        for flag in ("hidden", "unique", "prepareUnique"):
            if spec.get(flag) is False:
                del spec[flag]


_NOTED = frozenset({"createIndexes", "commitIndexBuild", "dropIndexes", "startIndexBuild", "abortIndexBuild", "dropDatabase", "dbCheck"})
"""Commands that, while the dump's own log is applied, touch nothing."""
_COMMANDS: Mapping[str, Callable[[Replay, Entry, dict[str, Any]], None]] = {
    "create": Replay._create,
    "drop": Replay._drop,
    "renameCollection": Replay._rename,
    "createIndexes": Replay._create_indexes,
    "commitIndexBuild": Replay._commit_index_build,
    "dropIndexes": Replay._drop_indexes,
    "deleteIndexes": Replay._drop_indexes,
    "collMod": Replay._collection_modified,
    "emptycapped": Replay._as_it_is,
    "startIndexBuild": Replay._nothing,
    "abortIndexBuild": Replay._nothing,
    "dropDatabase": Replay._nothing,
    "dbCheck": Replay._nothing,
}
