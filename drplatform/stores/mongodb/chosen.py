"""Which collections a partial dump holds, or a restore brings back beside what is there, and under which names.

Time-series collections are named as people name them, not by the collection of their buckets. Views, users and roles are no part of this.
"""

from dataclasses import dataclass
from typing import Any

from drplatform.model import errors
from drplatform.model.ports import Choice
from drplatform.stores.mongodb import catalogue, namespaces, oplog
from drplatform.stores.mongodb.catalogue import Collection
from drplatform.stores.mongodb.oplog import Entry
from drplatform.stores.mongodb.wire import Wire

BUCKETS = "system.buckets."
_AS_ASKED = ("timeseries", "expireAfterSeconds")


@dataclass(frozen=True)
class Chosen:
    """`None` in place of this: everything, under its own name."""

    choice: Choice

    def place(self, namespace: str) -> str | None:
        """Where a collection of the source goes; None when it is not chosen."""
        database, name = namespaces.split(namespace)
        logical = f"{database}.{name.removeprefix(BUCKETS)}"
        if name.startswith("system.") and not name.startswith(BUCKETS):
            return None
        if logical not in self.choice.only and f"{database}.*" not in self.choice.only:
            return None
        to_database, to_name = namespaces.split(self.choice.rename.get(logical, logical))
        return f"{to_database}.{BUCKETS if name.startswith(BUCKETS) else ''}{to_name}"


def place(chosen: Chosen | None, namespace: str) -> str | None:
    return chosen.place(namespace) if chosen else namespace


def among(chosen: Chosen | None, collections: list[Collection]) -> list[Collection]:
    """Those that are chosen. Raises SettingsError for a name in the choice that is that of none: what was meant would be missing."""
    if chosen is None:
        return collections
    for name in chosen.choice.only:
        if not any(Chosen(Choice((name,))).place(c.namespace) for c in collections):
            raise errors.SettingsError(f"MongoDB has no collection {name}; name one as app.orders, or all of a database as app.*.")
    return [c for c in collections if chosen.place(c.namespace)]


def of_log(chosen: Chosen | None, entries: list[bytes]) -> list[bytes]:
    """What a partial dump keeps of the log: what concerns the choice, and nothing of other collections. Raises StoreError."""
    return [kept for entry in entries if (kept := _kept(chosen, Entry(entry)))] if chosen else entries


def _kept(chosen: Chosen, entry: Entry) -> bytes:
    if entry.op != oplog.COMMAND:
        return entry.raw if chosen.place(entry.ns) else b""
    verb = entry.verb
    if verb == "applyOps":  # kept though empty: transactions go by the links between their entries
        return oplog.with_operations(entry, [kept for inner in oplog.inner_operations(entry) if (kept := _kept(chosen, inner))])
    if verb in ("commitTransaction", "abortTransaction"):
        return entry.raw
    command = entry.command
    source = chosen.place(oplog.subject(entry, command))
    if verb == "renameCollection" and chosen.place(str(command["to"])) and not source:
        raise errors.StoreError(f"{oplog.subject(entry, command)} was renamed to {command['to']} during the dump; take the backup again.")
    return entry.raw if source else b""


def create_time_series(wire: Wire, namespace: str, options: dict[str, Any]) -> None:
    """Make a time-series collection the way people do, with its view."""
    database, name = namespaces.split(namespace)
    wire.call(database, {"create": name.removeprefix(BUCKETS), **{key: options[key] for key in _AS_ASKED if key in options}})


def drop(wire: Wire, namespace: str) -> None:
    """Drop a collection, of a time series also its view."""
    database, name = namespaces.split(namespace)
    wire.call(database, {"drop": name.removeprefix(BUCKETS)})


def refuse_taken(wire: Wire, places: list[str], made: set[str]) -> None:
    """Raises TargetRefused when one of the names is taken, and not by an earlier attempt."""
    there = {c.namespace for c in catalogue.read(wire)}
    taken = [name for name in places if name in there and name not in made]
    if taken:
        raise errors.TargetRefused(
            f"The target has {', '.join(taken[:5])} already; choose another name with --rename {taken[0]}={taken[0]}_recovered. "
            "Nothing was touched."
        )
