"""A store in memory on a `model.memory.MemoryServer`, with everything that a real one can do: for tests of the engine.

Content is a dict of collections (`data[name]` is a dict of items); every change is also an entry of the log, numbered from 1.
"""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from drplatform.model import errors, ledger
from drplatform.model.backup import BackupKind, Digest, Multiset
from drplatform.model.clock import Clock
from drplatform.model.ledger import Mark
from drplatform.model.memory import MemoryServer
from drplatform.model.ports import DumpEnd, LogBatch, Operation, Part, RestoreEnd
from drplatform.model.position import Position

MARKS = "marks"
REFERENCE = "reference"
Find = Callable[[], MemoryServer]
"""The server behind the store's address at this moment. Raises StoreError when there is none."""


class MemoryStore:
    """ports.DataStore, LogCapture and Namespaced. `name` and `kind` may be those of a real store."""

    ordered = True
    marks_namespace = MARKS

    def __init__(self, find: Find, clock: Clock, name: str = "memory", *, items_per_block: int = 50) -> None:
        self.name = self.kind = name
        self._find, self._clock, self._per_block = find, clock, items_per_block

    def server(self) -> MemoryServer:
        """Raises StoreError when it does not answer."""
        server = self._find()
        if not server.alive:
            raise errors.StoreError(f"{self.name} does not answer.")
        return server

    def identity(self) -> str:
        server = self.server()
        return f"{id(server):x}-{server.generation}"

    def version(self) -> str:
        return "memory 1"

    def position(self) -> Position:
        server = self.server()
        with server.lock:
            return self._position(len(server.log))

    def occupants(self) -> tuple[str, ...]:
        server = self.server()
        with server.lock:
            return tuple(sorted(name for name, items in server.data.items() if items))

    def dump(self) -> "MemoryDump":
        server = self.server()
        with server.lock:
            content = {name: dict(items) for name, items in server.data.items()}
            return MemoryDump(content, self._position(len(server.log)), self._per_block)

    def restore(self) -> "MemoryRestore":
        return MemoryRestore(self)

    def digest(self) -> Mapping[str, Digest]:
        server = self.server()
        with server.lock:
            return {name: _digest(items) for name, items in sorted(server.data.items()) if name not in (MARKS, "probes")}

    def seed(self, seed: int, items: int) -> None:
        for number in range(items):
            self.put(REFERENCE, f"{number:06d}", ledger.payload("reference", number, seed).decode())

    def put(self, name: str, key: str, value: str) -> None:
        """Set an item, through the log."""
        self._apply({"put": name, "key": key, "value": value})

    def drop(self, namespace: str) -> None:
        self._apply({"drop": namespace})

    def namespaces(self) -> Mapping[str, str]:
        server = self.server()
        with server.lock:
            made = dict.fromkeys(server.data, "0")
            for number, entry in enumerate(server.log):
                if "drop" in entry:
                    made.pop(entry["drop"], None)
                elif entry["put"] not in made or made[entry["put"]] == "0":
                    made[entry["put"]] = str(number)
            return {name: identity for name, identity in made.items() if name in server.data}

    def follow(self, after: Position, stop: threading.Event) -> Iterator[LogBatch]:
        while not stop.is_set():
            try:
                server = self.server()
                with server.lock:
                    if self._timeline(server) != after.timeline:
                        raise errors.LogGap(f"{self.name} is another server than the one that was followed.")
                    entries = server.log[after.sequence[0] :]
            except errors.StoreError:
                entries = []
            last = self._position(after.sequence[0] + len(entries), after.timeline)
            yield LogBatch(after, last, _lines(entries, after), len(entries), self._clock.utc())
            after = last
            self._clock.wait(stop, 0.02)

    def operations(self, block: bytes) -> Iterator[Operation]:
        for line in block.splitlines():
            number, timeline, entry = json.loads(line)
            verb = "drop" if "drop" in entry else "put"
            yield Operation(self._position(number, timeline), self._position(number - 1, timeline), verb, entry[verb])

    def marker(self, client: str) -> "MemoryMarker":
        return MemoryMarker(self)

    def marks(self) -> Iterator[Mark]:
        server = self.server()
        with server.lock:
            found = list(server.data.get(MARKS, {}).items())
        for key, value in found:
            client, _, number = key.rpartition("/")
            yield Mark(client, int(number.partition("#")[0]), ledger.digest(value.encode()))

    def prober(self, anchor: Mark, payload: bytes) -> "MemoryProber":
        return MemoryProber(self, anchor, payload)

    def close(self) -> None: ...

    def load_items(self, name: str, items: Mapping[str, str]) -> None:
        server = self.server()
        with server.lock:
            server.data.setdefault(name, {}).update(items)

    def replay_entry(self, entry: Mapping[str, Any]) -> None:
        server = self.server()
        with server.lock:
            _change(server.data, entry)

    def _apply(self, entry: dict[str, Any]) -> None:
        server = self.server()
        with server.lock:
            _change(server.data, entry)
            server.log.append(entry)

    def _timeline(self, server: MemoryServer) -> str:
        return f"{id(server):x}-{server.generation}"

    def _position(self, number: int, timeline: str = "") -> Position:
        return Position(timeline or self._timeline(self.server()), (number,), self._clock.utc().timestamp())


def _change(data: dict[str, Any], entry: Mapping[str, Any]) -> None:
    if "drop" in entry:
        data.pop(entry["drop"], None)
    else:
        data.setdefault(entry["put"], {})[entry["key"]] = entry["value"]


def _lines(entries: list[Any], after: Position) -> bytes:
    """Each entry with its number and its timeline."""
    numbered = enumerate(entries, after.sequence[0] + 1)
    return b"".join(json.dumps([number, after.timeline, entry]).encode() + b"\n" for number, entry in numbered)


def _digest(items: Mapping[str, str]) -> Digest:
    total = Multiset()
    for key, value in items.items():
        total.add(json.dumps([key, value]).encode())
    return total.digest()


class MemoryDump:
    """ports.Dump: one part a collection, and first one that tells their names."""

    def __init__(self, content: dict[str, dict[str, str]], at: Position, per_block: int) -> None:
        self._content, self._at, self._per_block = content, at, per_block

    def __enter__(self) -> "MemoryDump":
        return self

    def __exit__(self, *exc: object) -> None: ...

    def parts(self) -> Iterator[Part]:
        described = json.dumps([sorted(self._content), self._at.to_json()]).encode()
        yield Part("catalogue", 0, lambda: iter([described]))
        for name, items in self._content.items():
            yield Part(f"data/{name}", 1, _Blocks(items, self._per_block))

    def finish(self) -> DumpEnd:
        digests = {name: _digest(items) for name, items in self._content.items()}
        return DumpEnd(self._at, self._at, digests, {name: len(items) for name, items in self._content.items()})


class _Blocks:
    def __init__(self, items: Mapping[str, str], per_block: int) -> None:
        self._items, self._per_block = list(items.items()), per_block

    def __call__(self) -> Iterator[bytes]:
        for begin in range(0, len(self._items), self._per_block):
            yield json.dumps(self._items[begin : begin + self._per_block]).encode()


class MemoryRestore:
    """ports.Restore."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._reached: Position | None = None

    def __enter__(self) -> "MemoryRestore":
        return self

    def __exit__(self, *exc: object) -> None: ...

    def load(self, kind: BackupKind, part: str, blocks: Iterator[bytes]) -> None:
        for block in blocks:
            if part == "catalogue":
                self._reached = Position.from_json(json.loads(block)[1])
            else:
                self._store.load_items(part.removeprefix("data/"), dict(json.loads(block)))

    def loaded(self, last: bool = False) -> None: ...

    def replay(self, blocks: Iterator[bytes], until: Position | None) -> None:
        for line in (line for block in blocks for line in block.splitlines()):
            number, timeline, entry = json.loads(line)
            at = Position(timeline, (number,), 0.0)
            assert self._reached
            if at <= self._reached or (until is not None and at > until):
                continue
            self._store.replay_entry(entry)
            self._reached = at

    def finish(self) -> RestoreEnd:
        if self._reached is None:
            raise errors.RecoveryFailed("The backup has no catalogue; use another one.")
        return RestoreEnd(self._reached, self._store.digest())


class MemoryMarker:
    """ports.Marker."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def write(self, mark: Mark, payload: bytes) -> None:
        try:
            self._store.put(MARKS, f"{mark.client}/{mark.number}", payload.decode())
        except errors.StoreError as error:
            raise errors.NotWritten(str(error)) from error

    def close(self) -> None: ...


class MemoryProber:
    """ports.Prober."""

    def __init__(self, store: MemoryStore, anchor: Mark, payload: bytes) -> None:
        self._store, self._anchor, self._payload = store, anchor, payload.decode()

    def attempt(self, number: int, timeout: float) -> None:
        server = self._store.server()
        with server.lock:
            found = server.data.get(MARKS, {}).get(f"{self._anchor.client}/{self._anchor.number}")
        if found != self._payload:
            raise errors.StoreError("the old write is gone" if found is None else "the old write was changed")
        self._store.put("probes", "probe", str(number))

    def close(self) -> None: ...
