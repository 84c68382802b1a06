"""A vault with one backup, and the key that opens it."""

import json
import random
from dataclasses import dataclass
from pathlib import Path

from drplatform import environment
from drplatform.engine import backups
from drplatform.model.backup import BackupKind, Manifest
from drplatform.model.memory import MemoryServer
from drplatform.model.secret import Secret
from drplatform.stores.memory import MemoryStore


@dataclass(frozen=True)
class Filled:
    place: Path
    repository: object
    manifest: Manifest
    public: str
    identity: Secret

    @property
    def secret(self) -> str:
        return self.identity.reveal()

    @property
    def opener(self) -> backups.Opener:
        return backups.Opener([self.identity])

    def write_identity(self, name: str) -> Path:
        backups.write_identity(self.place.parent / name, self.identity, self.public)
        return self.place.parent / name

    def objects(self) -> dict[str, bytes]:
        return {info.key: self.repository.get(info.key) for info in self.repository.list("")}


def filled(place: Path, clock) -> Filled:
    repository = environment.repository(place, clock)
    public, identity = backups.generate()
    server = MemoryServer()
    store = MemoryStore(lambda: server, clock, "memory", items_per_block=5)
    store.seed(7, 12)
    manifest = backups.back_up(store, BackupKind.FULL, repository, [public], clock, random.Random())
    return Filled(place, repository, manifest, public, identity)


def wrapped(text: str) -> bytes:
    return json.dumps({"recipients": [], "wrapped": text}).encode()
