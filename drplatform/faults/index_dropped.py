"""An index is dropped by mistake: answers stay right and become slow, and what was unique need not be any more."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from drplatform.faults import _mongodb
from drplatform.model import errors, ports, powers


@dataclass(frozen=True)
class IndexDropped(_mongodb.OnDocuments):
    """An index of a collection is dropped, by default the first beside that of `_id`; the documents stay."""

    index: str = ""

    kind = "index-dropped"

    def affects(self) -> frozenset[str]:
        """Users are served on, only slower."""
        return frozenset()

    def aim(self, scene: ports.Scene) -> powers.Aim:
        with self.collection(scene) as collection:
            names = _indexes(collection)
        return powers.Aim((f"{self.name(scene)}/{self._chosen(names)}",), len(names), destroys=True)

    def capture(self, scene: ports.Scene) -> Mapping[str, Any]:
        with self.collection(scene) as collection:
            names = _indexes(collection)
        return {"namespace": self.name(scene), "index": self._chosen(names)}

    def apply(self, scene: ports.Scene) -> None:
        with self.collection(scene) as collection:
            collection.drop_index(self._chosen(_indexes(collection)))

    def confirm(self, scene: ports.Scene, before: Mapping[str, Any]) -> ports.Receipt:
        with self.collection(scene) as collection:
            left = _indexes(collection)
        if before["index"] in left:
            return ports.Receipt((), f"{before['namespace']} still has the index {before['index']}")
        return ports.Receipt((before["namespace"],), f"the index {before['index']} is gone, left are {', '.join(left) or 'none'}")

    def _chosen(self, names: list[str]) -> str:
        if not names or (self.index and self.index not in names):
            raise errors.Inconclusive(f"There is no index {self.index or 'beside that of _id'} to drop; there are {names}.")
        return self.index or names[0]


def _indexes(collection: Any) -> list[str]:
    return sorted(name for name in collection.index_information() if name != "_id_")


FAULT = IndexDropped
