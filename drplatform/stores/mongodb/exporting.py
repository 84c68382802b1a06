"""A restore into a directory that stock mongorestore loads.

Written are collections and views as of the full backup, and everything after as `oplog.bson` (for `--oplogReplay`): the log of the dump,
increments as deletions and insertions, and the log that follows.
"""

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import bson

from drplatform.model import errors
from drplatform.model.backup import BackupKind
from drplatform.model.ports import RestoreEnd
from drplatform.model.position import Position
from drplatform.stores.mongodb import dump, increment, layout, members, namespaces, oplog, raw
from drplatform.stores.mongodb.catalogue import Collection
from drplatform.stores.mongodb.chosen import BUCKETS
from drplatform.stores.mongodb.oplog import Entry

_AUTH = ("admin.system.version", {"_id": "authSchema", "currentVersion": 5})
_VIEWS = ".system.views"


class Export:
    """See `ports.Restore`: into an empty directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = threading.Lock()
        self._waiting: dict[str, list[tuple[str, list[bytes]]]] = {}
        self._names: dict[bytes, str] = {}
        self._reached: Position | None = None
        self._counts: dict[str, int] = {}
        self._log: BinaryIO | None = None

    def load(self, kind: BackupKind, part: str, blocks: Iterator[bytes]) -> None:
        what, _, rest = part.partition("/")
        if part == dump.CATALOGUE:
            self._describe(blocks)
        elif what == "data":
            self._write(dump.namespace_of(part), part, blocks)
        elif part == dump.LOG:
            self._settle(blocks, "overlay")
        elif part == increment.WINDOW:
            self._settle(blocks, increment.WINDOW)
        else:
            self._change("d" if what == increment.TOUCHED else "i", self._names[bytes.fromhex(rest.rpartition("/")[0])], blocks)

    def loaded(self, last: bool = False) -> None:
        """Everything is written as it comes."""

    def replay(self, blocks: Iterator[bytes], until: Position | None) -> None:
        reached = self._require_reached()
        reader, bound = oplog.Reader(members.stamp(reached), reached.timeline), members.stamp(until) if until else None
        last = members.stamp(reached)
        for entry, _ in reader.entries(blocks):
            if bound and entry.ts > bound:
                break
            if entry.ts > members.stamp(reached):
                self._append(entry.raw)
                last = entry.ts
        self._reached = until or members.at(reached.timeline, max(last, reader.reached or last))

    def finish(self) -> RestoreEnd:
        if self._log:
            self._log.close()
        return RestoreEnd(self._require_reached(), {}, self._counts)

    # -- collections ----------------------------------------------------------------------------------------------------------

    def _describe(self, blocks: Iterator[bytes]) -> None:
        listed = [Collection.from_bson(document) for block in blocks for document in raw.documents(block)]
        for collection in listed:
            self._names[collection.uuid] = collection.namespace
            if not collection.namespace.endswith(_VIEWS):
                layout.write_metadata(self._directory, collection)
                layout.data_file(self._directory, collection.namespace).touch()
        if any(c.namespace in namespaces.USERS for c in listed):
            name, document = _AUTH
            layout.write_metadata(self._directory, Collection(name, b"", {}))
            layout.data_file(self._directory, name).write_bytes(bson.encode(document))

    def _write(self, namespace: str, part: str, blocks: Iterator[bytes]) -> None:
        """Parts of a collection may come in any order, save of one that has an order: that has one part."""
        counted = 0
        with layout.data_file(self._directory, namespace).open("ab") as file:
            for block in blocks:
                documents = list(raw.documents(block))
                counted += len(documents)
                if namespace.endswith(_VIEWS):
                    _write_views(self._directory, documents)
                    continue
                with self._lock:
                    file.write(block)
                    file.flush()
        with self._lock:
            self._counts[namespace] = self._counts.get(namespace, 0) + counted
        if namespace.endswith(_VIEWS):
            layout.data_file(self._directory, namespace).unlink()

    # -- the log --------------------------------------------------------------------------------------------------------------

    def _settle(self, blocks: Iterator[bytes], what: str) -> None:
        head, frames = oplog.headed(blocks, what)
        end = head["end" if what == "overlay" else "until"]
        self._reached = members.at(head["timeline"], (end.time, end.inc))
        for entry, _ in oplog.Reader().entries(frames):
            self._follow(entry)
            self._append(entry.raw)

    def _follow(self, entry: Entry) -> None:
        """Keep track of names, for increments."""
        if entry.op != oplog.COMMAND:
            return
        verb = entry.verb
        if verb == "applyOps":
            for inner in oplog.inner_operations(entry):
                self._follow(inner)
        elif verb == "create":
            self._names[entry.ui] = oplog.subject(entry, entry.command)
        elif verb == "renameCollection":
            self._names[entry.ui] = str(entry.told(b"to"))

    def _change(self, op: str, namespace: str, blocks: Iterable[bytes]) -> None:
        at = members.stamp(self._require_reached())
        for document in (document for block in blocks for document in raw.documents(block)):
            named = [raw.string(b"op", op), raw.string(b"ns", namespace), raw.timestamp(b"ts", at)]
            self._append(raw.assemble([*named, raw.elements({"v": bson.Int64(2)}), b"\x03o\0" + document]))

    def _append(self, entry: bytes) -> None:
        with self._lock:
            if self._log is None:
                self._log = (self._directory / layout.OPLOG).open("ab")
            self._log.write(entry)

    def _require_reached(self) -> Position:
        if self._reached is None:
            raise errors.RecoveryFailed("Nothing was loaded yet; load a full backup first.")
        return self._reached


def _write_views(directory: Path, documents: list[bytes]) -> None:
    for document in documents:
        view: dict[str, Any] = bson.decode(document)
        if not view["viewOn"].startswith(BUCKETS):
            layout.write_view(directory, view)


@contextmanager
def export(directory: Path) -> Iterator[Export]:
    directory.mkdir(parents=True, exist_ok=True)
    yield Export(directory)
