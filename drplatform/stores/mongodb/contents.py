"""What a full backup holds of each collection, so that it is seen to come whole out of the backup, and to be whole in the server after.

Digesting document by document takes longer than reading, so a dump does not wait for it. It digests the blocks that it hands on, and writes
that into its last part. A restore digests the blocks that it gets, which must be those, and while it loads each of their documents, which it
must find in the server when it has ended, wherever nothing that came after has changed the collection.
"""

from collections.abc import Collection, Iterable, Mapping, Set
from dataclasses import dataclass, field
from typing import Any

import bson

from drplatform.model import errors
from drplatform.model.backup import Digest, Multiset
from drplatform.stores.mongodb import namespaces

CONTENTS = "contents"


@dataclass
class Tally:
    """Blocks of one collection, and the documents in them: how many, and (where they are loaded) their digest."""

    blocks: Multiset = field(default_factory=Multiset)
    documents: int = 0
    content: Multiset = field(default_factory=Multiset)

    def dumped(self, block: bytes, documents: int) -> None:
        self.blocks.add(block)
        self.documents += documents

    def loaded(self, block: bytes, documents: list[bytes]) -> None:
        """A block of these documents."""
        self.dumped(block, len(documents))
        self.content.add_all(documents)

    def merge(self, other: "Tally") -> None:
        self.blocks.merge(other.blocks)
        self.documents += other.documents
        self.content.merge(other.content)

    def told(self) -> dict[str, Any]:
        """For a document of BSON."""
        return {
            "documents": bson.Int64(self.documents),
            "sealed": self.blocks.digest().to_json(),
            "content": self.content.digest().to_json(),
        }

    @classmethod
    def read(cls, told: Mapping[str, Any]) -> "Tally":
        sealed, content = Digest.from_json(told["sealed"]), Digest.from_json(told["content"])
        return cls(Multiset(sealed), int(told["documents"]), Multiset(content))


def head(tallies: Mapping[bytes, Tally]) -> list[dict[str, Any]]:
    """What the last part of a dump says of the others."""
    return [
        {"uuid": bson.Binary(uuid, 4), "documents": bson.Int64(each.documents), "sealed": each.blocks.digest().to_json()}
        for uuid, each in tallies.items()
    ]


def require(told: Iterable[Mapping[str, Any]], loaded: Mapping[bytes, Tally], names: Mapping[bytes, str]) -> None:
    """Raises IntegrityError when what was loaded of a collection is not what was dumped of it. `names`: of those that were to be loaded."""
    dumped = {bytes(each["uuid"]): (int(each["documents"]), Digest.from_json(each["sealed"])) for each in told}
    for uuid, name in names.items():
        found = loaded.get(uuid, Tally())
        if uuid in dumped and dumped[uuid] != (found.documents, found.blocks.digest()):
            raise errors.IntegrityError(
                f"The backup holds {found.documents} documents of {name}, and not the {dumped[uuid][0]} that were dumped; do not trust it."
            )


def expected(loaded: Mapping[bytes, Digest], names: Mapping[bytes, str], touched: Set[bytes], shared: Collection[str]) -> dict[str, Digest]:
    """By its name now, what a collection must hold that nothing has changed since it was loaded. `shared`: what holds
    something that was not loaded."""
    calm = {names[uuid]: each for uuid, each in loaded.items() if uuid in names and uuid not in touched}
    return {name: each for name, each in calm.items() if namespaces.content(name) and name not in shared}


def differing(expected: Mapping[str, Digest], found: Mapping[str, Digest]) -> list[str]:
    """In words, every collection that is not what was loaded."""
    nothing = Digest(0, "")
    wrong = [(name, each, found.get(name, nothing)) for name, each in expected.items() if found.get(name) != each]
    return [f"{name} holds {there.items} documents that are not the {each.items} of the backup" for name, each, there in wrong]
