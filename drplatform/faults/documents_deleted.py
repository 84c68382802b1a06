"""A person or a program deletes documents that it should not."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from drplatform.faults import _mongodb
from drplatform.model import ports


@dataclass(frozen=True)
class DocumentsDeleted(_mongodb.OnDocuments):
    """A share of the documents of a collection is deleted, by default all of those that the clients write to."""

    kind = "documents-deleted"

    def apply(self, scene: ports.Scene) -> None:
        with self.collection(scene) as collection:
            collection.delete_many({"_id": {"$in": self.victims(collection)[0]}})

    def confirm(self, scene: ports.Scene, before: Mapping[str, Any]) -> ports.Receipt:
        """The documents that were there when the state was captured are looked for one by one."""
        victims = _mongodb.victims_of(before)
        with self.collection(scene) as collection:
            left = collection.count_documents({"_id": {"$in": victims}})
        return _mongodb.receipt(before, len(victims) - left, "are gone")


FAULT = DocumentsDeleted
