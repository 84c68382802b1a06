"""A dump of a directory that stock mongodump wrote: its documents, metadata and log, as a full backup.

Documents are digested where the log does not touch them, so that a restore can be compared with the directory.
"""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import bson
from bson.timestamp import Timestamp

from drplatform.model import errors
from drplatform.model.backup import Digest
from drplatform.model.ports import BLOCK_BYTES, DumpEnd, Part
from drplatform.stores.mongodb import digest, dump, layout, members, namespaces, oplog
from drplatform.stores.mongodb.catalogue import Collection
from drplatform.stores.mongodb.members import Stamp
from drplatform.stores.mongodb.oplog import Entry

_VIEWS = "system.views"


class Import:
    """See `ports.Dump`: of a directory that mongodump wrote. Raises SettingsError for what is none, IntegrityError for what is not whole."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._uuids: dict[str, bytes] = {}
        found = layout.read_metadata(directory)
        self._begin, self._end = self._bounds()
        self._views = [(name, body) for name, body, _ in found if body.get("type") == layout.VIEW]
        self._collections = [(_collection(name, body, self._uuids), file) for name, body, file in found if _is_collection(name, body)]
        self._contents: dict[str, digest.Documents] = {}
        self._touched: set[bytes] = set()
        self.timeline = f"mongodump {directory.absolute()}"

    def parts(self) -> Iterator[Part]:
        listed = [c for c, _ in self._collections] + [Collection(f"{name}.{_VIEWS}", _uuid(name)) for name in self._databases_with_views()]
        yield Part(dump.CATALOGUE, dump.STAGE_CATALOGUE, lambda: iter([b"".join(c.to_bson() for c in listed)]))
        for number, (collection, file) in enumerate(self._collections):
            yield Part(f"data/{collection.namespace}/{number:05}-00000", dump.STAGE_DATA, partial(self._documents, collection, file))
        for name in self._databases_with_views():
            yield Part(f"data/{name}.{_VIEWS}/views-00000", dump.STAGE_DATA, partial(self._view_documents, name))
        yield Part(dump.LOG, dump.STAGE_LOG, self._log_blocks)

    def finish(self) -> DumpEnd:
        calm = [c for c, _ in self._collections if c.uuid not in self._touched and namespaces.content(c.namespace)]
        contents: dict[str, Digest] = {c.namespace: self._contents.get(c.namespace, digest.Documents()).digest() for c in calm}
        ours = [c for c in calm if "timeseries" not in c.options]
        structures = {name: each for c in ours for name, each in digest.of_structure(c).items()}
        counts = {name: each.items for name, each in contents.items()}
        return DumpEnd(members.at(self.timeline, self._begin), members.at(self.timeline, self._end), {**contents, **structures}, counts)

    def _documents(self, collection: Collection, file: Path) -> Iterator[bytes]:
        content = self._contents.setdefault(collection.namespace, digest.Documents())
        for block in dump.gathered(_read(file)):
            content.add_block(block)
            yield block

    def _databases_with_views(self) -> list[str]:
        return sorted({namespaces.split(name)[0] for name, _ in self._views})

    def _view_documents(self, database: str) -> Iterator[bytes]:
        yield b"".join(bson.encode({"_id": n, **body["options"]}) for n, body in self._views if n.startswith(f"{database}."))

    def _log_blocks(self) -> Iterator[bytes]:
        bounds = {"begin": Timestamp(*self._begin), "end": Timestamp(*self._end)}
        yield bson.encode({"drplatform": "overlay", "timeline": self.timeline, **bounds, "cuts": []})
        reached, waiting, size = self._begin, list[bytes](), 0
        for entry in map(Entry, self._entries()):
            if entry.op == oplog.NOOP or entry.ts <= reached:
                continue
            self._note(entry)
            waiting.append(entry.raw)
            size += len(entry.raw)
            if size >= BLOCK_BYTES:
                yield oplog.framed(self.timeline, reached, entry.ts, waiting)
                reached, waiting, size = entry.ts, [], 0
        yield oplog.framed(self.timeline, reached, self._end, waiting)

    def _learn(self, entry: Entry) -> None:
        """By which UUIDs the log names collections."""
        for each in oplog.inner_operations(entry) if entry.op == oplog.COMMAND and entry.verb == "applyOps" else [entry]:
            if each.op in ("i", "u", "d") and each.ui:
                self._uuids.setdefault(each.ns, each.ui)

    def _note(self, entry: Entry) -> None:
        self._touched.add(entry.ui)
        if entry.op == oplog.COMMAND and entry.verb == "applyOps":
            self._touched.update(inner.ui for inner in oplog.inner_operations(entry))

    def _entries(self) -> Iterator[bytes]:
        file = self._directory / layout.OPLOG
        return _read(file) if file.exists() else iter(())

    def _bounds(self) -> tuple[Stamp, Stamp]:
        """Of the log; without one the time of the directory. Raises SettingsError when it is not in order."""
        first: Stamp | None = None
        last: Stamp = 0, 0
        for entry in map(Entry, self._entries()):
            if entry.ts <= last:
                raise errors.SettingsError(
                    f"{self._directory / layout.OPLOG} is not in the order of time; it was not written by mongodump."
                )
            first, last = first or entry.ts, entry.ts
            self._learn(entry)
        if first is None:
            modified = int(self._directory.stat().st_mtime)
            return (modified, 0), (modified, 0)
        return (first[0], first[1] - 1), last


def _is_collection(namespace: str, body: dict[str, Any]) -> bool:
    return body.get("type") != layout.VIEW and namespaces.protected(namespace)


def _collection(namespace: str, body: dict[str, Any], logged: Mapping[str, bytes]) -> Collection:
    """The index that keeps a clustered collection is told as one by mongodump; it is part of the options.

    Where the metadata tells no UUID (time series), it is that by which the log names the collection.
    """
    options, clustered = body.get("options") or {}, bool((body.get("options") or {}).get("clusteredIndex"))
    indexes = tuple({k: v for k, v in spec.items() if k != "ns"} for spec in body.get("indexes") or () if not spec.get("clustered"))
    id_index = None if clustered else next((spec for spec in indexes if spec.get("key") == {"_id": 1}), None)
    uuid = bytes.fromhex(body.get("uuid") or "") or logged.get(namespace) or _uuid(namespace)
    return Collection(namespace, uuid, options, id_index, indexes)


def _uuid(namespace: str) -> bytes:
    """For what the directory gives none."""
    return hashlib.sha256(namespace.encode()).digest()[:16]


def _read(file: Path) -> Iterator[bytes]:
    """The documents of a .bson file. Raises IntegrityError when it is cut."""
    with file.open("rb") as opened:
        while head := opened.read(4):
            size = int.from_bytes(head, "little")
            document = head + opened.read(max(0, size - 4))
            if len(head) < 4 or size < 5 or len(document) != size:
                raise errors.IntegrityError(f"{file} ends within a document: the dump is not whole; do not trust it.")
            yield document


@contextmanager
def importing(directory: Path) -> Iterator[Import]:
    yield Import(directory)
