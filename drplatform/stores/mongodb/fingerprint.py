"""Whether two lots of documents are the same, whatever their order: what a restore has loaded, and what it finds in the server.

A digest (`model.backup.Digest`) is made of SHA-256, so that it may be kept, shown, and compared by others; of small documents that takes a
third of the processor time of a restore's own side. What a restore compares with itself need not leave it. That is made of XXH3-64 under a
seed that each restore draws: for what chance and defects make of documents it is good enough (one in 2**64 passes), and nobody prepares
documents for a seed that he does not know. Who may change the target while it is restored could find others that look the same; he could as
well change it after. That nobody changed the backup is the matter of its encryption, which authenticates it.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import bson
from xxhash import xxh3_64_intdigest

from drplatform.stores.mongodb import digest, raw

_MODULUS = 2**64


def draw_seed() -> int:
    """63 random bits, for which BSON has a number."""
    return secrets.randbits(63)


@dataclass
class Fingerprint:
    """How many documents, and the sum modulo 2**64 of the XXH3-64 of each. To be merged and compared with one of the same seed. For one thread."""

    seed: int
    items: int = 0
    sum: int = 0

    def add(self, block: bytes) -> raw.Walk:
        """Each document of a block. Returns what was seen of them on the way."""
        return self._add(raw.walk(block, xxh3_64_intdigest, self.seed))

    def add_batch(self, batch: raw.Batch) -> None:
        self._add(batch.walk(xxh3_64_intdigest, self.seed))

    def _add(self, seen: raw.Walk) -> raw.Walk:
        self.items += len(seen.ends)
        self.sum = (self.sum + seen.sum) % _MODULUS
        return seen

    def merge(self, other: "Fingerprint") -> None:
        assert self.seed == other.seed
        self.items += other.items
        self.sum = (self.sum + other.sum) % _MODULUS

    def told(self) -> dict[str, Any]:
        """For a document of BSON."""
        return {"items": bson.Int64(self.items), "xxh3": f"{self.sum:016x}"}

    @classmethod
    def read(cls, told: Mapping[str, Any], seed: int) -> "Fingerprint":
        return cls(seed, int(told["items"]), int(told["xxh3"], 16))


@dataclass
class Found:
    """Documents found in the server: their fingerprint and, where a manifest may hold one to be compared with it, their digest."""

    fingerprint: Fingerprint
    digest: digest.Documents | None

    def add_batch(self, batch: raw.Batch) -> None:
        self.fingerprint.add_batch(batch)
        if self.digest:
            self.digest.add_batch(batch)
