"""What a full backup holds of each collection, so that it is seen to come whole out of the backup, and to be whole in the server after.

Looking at document by document takes longer than reading, so a dump does not wait for it. It counts and checksums the blocks that it hands
on, and writes that into its last part. A restore does the same with the blocks that it gets, which must be those, and takes the fingerprint
of each of their documents, which it must find in the server when it has ended, wherever nothing that came after has changed the collection.

The checksum tells what chance makes of blocks on their way, as a digest would at eight times the processor time. That nobody makes others of
them is the matter of their encryption, which authenticates each.
"""

from collections.abc import Collection, Iterable, Mapping, Set
from dataclasses import dataclass, field
from typing import Any

import anycrc
import bson

from drplatform.model import errors
from drplatform.stores.mongodb import namespaces, raw
from drplatform.stores.mongodb.fingerprint import Fingerprint

CONTENTS = "contents"
_MODULUS = 2**64


@dataclass
class Tally:
    """Blocks of one collection, and the documents in them: how many, and (where they are loaded) their fingerprint.

    `checksum`: the sum of the blocks' CRC-64 (that of XZ), so that their order does not matter. For one thread.
    """

    documents: int = 0
    blocks: int = 0
    checksum: int = 0
    content: Fingerprint = field(default_factory=lambda: Fingerprint(0))
    _crc: anycrc.Model = field(default_factory=lambda: anycrc.Model("CRC64-XZ"), repr=False, compare=False)

    def dumped(self, block: bytes, documents: int) -> None:
        self.documents += documents
        self.blocks += 1
        self.checksum = (self.checksum + self._crc.calc(block)) % _MODULUS

    def loaded(self, block: bytes) -> raw.Walk:
        """A block that is to be loaded. Returns what was seen of its documents."""
        seen = self.content.add(block)
        self.dumped(block, len(seen.ends))
        return seen

    def merge(self, other: "Tally") -> None:
        self.documents += other.documents
        self.blocks += other.blocks
        self.checksum = (self.checksum + other.checksum) % _MODULUS
        self.content.merge(other.content)

    @property
    def handed_on(self) -> dict[str, Any]:
        """What must be the same at both ends. For a document of BSON."""
        return {"documents": bson.Int64(self.documents), "blocks": bson.Int64(self.blocks), "crc64": f"{self.checksum:016x}"}

    def told(self) -> dict[str, Any]:
        """For a document of BSON."""
        return {**self.handed_on, "content": self.content.told()}

    @classmethod
    def read(cls, told: Mapping[str, Any], seed: int) -> "Tally":
        content = Fingerprint.read(told["content"], seed)
        return cls(int(told["documents"]), int(told["blocks"]), int(told["crc64"], 16), content)


def head(tallies: Mapping[bytes, Tally]) -> list[dict[str, Any]]:
    """What the last part of a dump says of the others."""
    return [{"uuid": bson.Binary(uuid, 4), **each.handed_on} for uuid, each in tallies.items()]


def require(told: Iterable[Mapping[str, Any]], loaded: Mapping[bytes, Tally], names: Mapping[bytes, str]) -> None:
    """Raises IntegrityError when what was loaded of a collection is not what was dumped of it, as far as the dump says: those of earlier
    versions say how many documents, or nothing. `names`: of those that were to be loaded."""
    dumped = {bytes(each["uuid"]): each for each in told}
    for uuid in names.keys() & dumped.keys():
        found = loaded.get(uuid, Tally())
        if any(dumped[uuid].get(name, value) != value for name, value in found.handed_on.items()):
            raise errors.IntegrityError(
                f"The backup holds {found.documents} documents of {names[uuid]}, and not the {int(dumped[uuid]['documents'])} that were "
                "dumped; do not trust it."
            )


def expected(
    loaded: Mapping[bytes, Fingerprint], names: Mapping[bytes, str], touched: Set[bytes], shared: Collection[str]
) -> dict[str, Fingerprint]:
    """By its name now, what a collection must hold that nothing has changed since it was loaded. `shared`: what holds
    something that was not loaded."""
    calm = {names[uuid]: each for uuid, each in loaded.items() if uuid in names and uuid not in touched}
    return {name: each for name, each in calm.items() if namespaces.content(name) and name not in shared}


def differing(expected: Mapping[str, Fingerprint], found: Mapping[str, Fingerprint]) -> list[str]:
    """In words, every collection that is not what was loaded."""
    wrong = [(name, each.items, found[name].items if name in found else 0) for name, each in expected.items() if found.get(name) != each]
    return [f"{name} holds {there} documents that are not the {loaded} of the backup" for name, loaded, there in wrong]
