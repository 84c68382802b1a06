"""The data store: a MongoDB replica set at an endpoint. Every call makes its own connections, so that calls may come from several threads."""

import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager

from drplatform.model.backup import Digest
from drplatform.model.clock import Clock
from drplatform.model.ledger import Mark
from drplatform.model.ports import Address, Choice, Dump, Endpoint, LogBatch, Marker, Operation, Prober, Restore, ResumedRestore
from drplatform.model.position import Position
from drplatform.model.replication import Replication
from drplatform.stores.mongodb import (
    catalogue,
    digest,
    dump,
    follow,
    increment,
    lease,
    marks,
    members,
    namespaces,
    oplog,
    replication,
    restore,
)
from drplatform.stores.mongodb import seed as seeds
from drplatform.stores.mongodb import wire as wires
from drplatform.stores.mongodb.chosen import Chosen
from drplatform.stores.mongodb.members import Members

_RELEASE = re.compile(r"mongod (\d+)\.(\d+)")


class MongoStore:
    """See `ports.DataStore`, `ports.LogCapture`, `ports.Namespaced`, `ports.Selective` and `ports.Verifiable`."""

    name = "mongodb"
    kind = "mongodb"
    ordered = False
    marks_namespace = namespaces.MARKS

    def __init__(self, endpoint: Endpoint, clock: Clock) -> None:
        self.endpoint, self._members = endpoint, Members(endpoint, clock)

    def identity(self) -> str:
        """The replica set's id."""
        with self._members.best() as wire:
            return members.identity(wire)

    def version(self) -> str:
        with self._members.best() as wire:
            return f"mongod {wire.call('admin', {'buildInfo': 1})['version']}"

    def takes(self, version: str) -> bool:
        source, own = _release(version), _release(self.version())
        return source is None or own is None or source <= own

    def position(self) -> Position:
        with self._members.primary() as wire:
            return members.position(wire, self._members.clock, members.identity(wire))

    def occupants(self) -> tuple[str, ...]:
        """The collections that people made, empty ones too."""
        with self._members.primary() as wire:
            return tuple(c.namespace for c in catalogue.read(wire) if namespaces.user(c.namespace))

    def dump(self) -> AbstractContextManager[Dump]:
        return dump.dump(self._members)

    def dump_only(self, only: tuple[str, ...]) -> AbstractContextManager[Dump]:
        return dump.dump(self._members, Chosen(Choice(only)))

    def dump_since(self, since: Position) -> AbstractContextManager[Dump]:
        return increment.increment(self._members, since)

    def restore(self) -> AbstractContextManager[Restore]:
        return restore.restore(self._members)

    def resume(self, plan: str, again: bool) -> AbstractContextManager[ResumedRestore]:
        return restore.restore(self._members, plan, again)

    def restore_only(self, choice: Choice, plan: str, again: bool) -> AbstractContextManager[Restore]:
        return restore.restore(self._members, plan, again, Chosen(choice))

    def unfinished(self) -> str:
        with self._members.primary() as wire:
            return lease.unfinished(wire)

    def halfway(self) -> str:
        with self._members.best() as wire:
            return lease.halfway(wire)

    def digest(self) -> Mapping[str, Digest]:
        return digest.digests(self._members)

    def seed(self, seed: int, items: int) -> None:
        with self._members.primary() as wire:
            seeds.seed(wire, seed, items)

    def marker(self, client: str) -> Marker:
        marks.prepare(self._members)
        return marks.MongoMarker(self._members, client)

    def marks(self) -> Iterator[Mark]:
        return marks.marks(self._members)

    def prober(self, anchor: Mark, payload: bytes) -> Prober:
        return marks.MongoProber(self._members, anchor, payload)

    def follow(self, after: Position, stop: threading.Event) -> Iterator[LogBatch]:
        return follow.follow(self._members, after, stop)

    def operations(self, block: bytes) -> Iterator[Operation]:
        return oplog.operations(block)

    def namespaces(self) -> Mapping[str, str]:
        """Each collection that people made, with its UUID."""
        with self._members.primary() as wire:
            return {c.namespace: c.uuid.hex() for c in catalogue.read(wire) if namespaces.user(c.namespace)}

    def drop(self, namespace: str) -> None:
        database, name = namespaces.split(namespace)
        with self._members.primary() as wire:
            wire.call(database, {"drop": name, "writeConcern": {"w": "majority"}})

    def validate(self) -> list[str]:
        """What `validate` finds wrong in any collection."""
        with self._members.primary() as wire:
            wire.within(wires.LONG)
            return [defect for c in catalogue.read(wire) for defect in self._defects(wire, c.namespace)]

    def _defects(self, wire: wires.Wire, namespace: str) -> list[str]:
        database, name = namespaces.split(namespace)
        found = wire.call(database, {"validate": name})
        told = [*found.get("errors", ()), *found.get("warnings", ())]
        if not found["valid"]:
            told = told or ["not valid, the server does not say why"]
        return [f"{namespace}: {defect}" for defect in told]

    def replication(self) -> Replication:
        return replication.look(self._members)

    def promote(self, survivors: tuple[Address, ...], lost: tuple[Address, ...]) -> Address:
        """By election where the survivors are a majority of the set, else by force on the one that knows most."""
        return replication.promote(self._members, survivors)

    def hand_over(self, to: tuple[Address, ...], within: float) -> Address:
        return replication.hand_over(self._members, to, within)

    def close(self) -> None:
        """Nothing is held between calls."""


def _release(version: str) -> tuple[int, ...] | None:
    """Major and minor number, with which features come; patches bring none."""
    found = _RELEASE.match(version)
    return tuple(map(int, found.groups())) if found else None
