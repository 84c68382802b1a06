"""Whether two lots of documents are the same, whatever their order: what a restore has loaded, and what it finds in the server.

A digest (`model.backup.Digest`) is made of SHA-256, so that it may be kept, shown, and compared by others; of small documents that takes a
third of the processor time of a restore's own side. What a restore compares with itself need not leave it. That is made of XXH3-128 under a
seed that each restore draws: for what chance and defects make of documents it is as good (one in 2**128 passes), and nobody prepares
documents for a seed that he does not know. Who may change the target while it is restored could find others that look the same; he could as
well change it after. That nobody changed the backup is the matter of its encryption, which authenticates it.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import bson
from xxhash import xxh3_128_intdigest

from drplatform.model.backup import Multiset

_MODULUS = 2**128


def draw_seed() -> int:
    """63 random bits, for which BSON has a number."""
    return secrets.randbits(63)


@dataclass
class Fingerprint:
    """How many documents, and the sum modulo 2**128 of the XXH3-128 of each. To be merged and compared with one of the same seed. For one thread."""

    seed: int
    items: int = 0
    sum: int = 0

    def add_all(self, documents: list[bytes]) -> None:
        self.items += len(documents)
        self.sum = (self.sum + sum(map(xxh3_128_intdigest, documents, repeat(self.seed)))) % _MODULUS

    def merge(self, other: "Fingerprint") -> None:
        assert self.seed == other.seed
        self.items += other.items
        self.sum = (self.sum + other.sum) % _MODULUS

    def told(self) -> dict[str, Any]:
        """For a document of BSON."""
        return {"items": bson.Int64(self.items), "xxh3": f"{self.sum:032x}"}

    @classmethod
    def read(cls, told: Mapping[str, Any], seed: int) -> "Fingerprint":
        return cls(seed, int(told["items"]), int(told["xxh3"], 16))


@dataclass
class Found:
    """Documents found in the server: their fingerprint and, where a manifest may hold one to be compared with it, their digest."""

    fingerprint: Fingerprint
    digest: Multiset | None

    def add_all(self, documents: list[bytes]) -> None:
        self.fingerprint.add_all(documents)
        if self.digest:
            self.digest.add_all(documents)
