"""What the tests of backups share: a source and a target in memory, and repositories that are tampered with or fail."""

import hashlib
import random
import threading
from collections.abc import Callable, Iterator, Mapping

from drplatform.engine import backups
from drplatform.model import evidence
from drplatform.model.backup import BackupKind, Chain, Manifest
from drplatform.model.memory import MemoryServer
from drplatform.repositories.memory import MemoryRepository
from drplatform.stores.memory import MemoryStore

NAME = "memory"
RECIPIENT, IDENTITY = backups.generate()
OPENER = backups.Opener([IDENTITY])


def store_on(server: MemoryServer, clock, **options) -> MemoryStore:
    return MemoryStore(lambda: server, clock, NAME, **options)


def source(clock, items: int = 12, per_block: int = 5) -> MemoryStore:
    """A store with a collection of `items` items, dumped in several chunks, and a smaller one."""
    made = store_on(MemoryServer(), clock, items_per_block=per_block)
    made.seed(7, items)
    made.put("other", "a", "1")
    return made


def take(store: MemoryStore, repository, clock, **options) -> Manifest:
    return backups.back_up(store, BackupKind.FULL, repository, [RECIPIENT], clock, random.Random(), **options)


def restore(chain: Chain, repository, clock, server: MemoryServer | None = None, opener=OPENER, **options):
    target = store_on(server or MemoryServer(), clock)
    return backups.restore(chain, target, repository, opener, backups.Lease(NAME, target.identity()), clock, **options)


def objects(repository) -> dict[str, bytes]:
    return {info.key: repository.get(info.key) for info in repository.list("")}


def holding(content: Mapping[str, bytes]) -> MemoryRepository:
    made = MemoryRepository()
    for key, data in content.items():
        made.put(key, data)
    return made


def flipped(data: bytes, offset: int, bit: int = 0) -> bytes:
    return data[:offset] + bytes([data[offset] ^ 1 << bit]) + data[offset + 1 :]


def manifest_name(content: Mapping[str, bytes]) -> str:
    (name,) = (key for key in content if key.endswith("/manifest.json"))
    return name


def envelope(body: Mapping, mac: str) -> bytes:
    """A manifest as stored, with a right checksum and whatever MAC: what a forger without the key can make."""
    return evidence.canonical({"body": body, "sha256": hashlib.sha256(evidence.canonical(body)).hexdigest(), "mac": mac})


class Failing:
    """A repository that loses its server at the n-th put, before or after it took effect."""

    def __init__(self, inner, fails: Callable[[int, str], bool], error: Exception, *, stored: bool = False) -> None:
        self._inner, self._fails, self._error, self._stored = inner, fails, error, stored
        self._lock = threading.Lock()
        self.puts = 0

    def put(self, key: str, data: bytes, sha256: str = "") -> None:
        with self._lock:
            self.puts += 1
            number = self.puts
        if self._fails(number, key):
            if self._stored:
                self._inner.put(key, data, sha256)
            raise self._error
        self._inner.put(key, data, sha256)

    def get(self, key: str) -> bytes:
        return self._inner.get(key)

    def list(self, prefix: str) -> Iterator:
        return self._inner.list(prefix)

    def delete(self, key: str) -> None:
        self._inner.delete(key)

    def describe(self) -> str:
        return "a repository that fails"
