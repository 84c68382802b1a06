"""A program overwrites documents with nonsense."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pymongo

from drplatform.faults import _mongodb
from drplatform.model import ports

NONSENSE = "overwritten"


@dataclass(frozen=True)
class DocumentsOverwritten(_mongodb.OnDocuments):
    """A share of the documents of a collection is replaced by nonsense, by default all of those that the clients write to."""

    kind = "documents-overwritten"

    def apply(self, scene: ports.Scene) -> None:
        with self.collection(scene) as collection:
            victims, _ = self.victims(collection)
            collection.bulk_write([pymongo.ReplaceOne({"_id": v}, {NONSENSE: number}) for number, v in enumerate(victims)], ordered=False)

    def confirm(self, scene: ports.Scene, before: Mapping[str, Any]) -> ports.Receipt:
        with self.collection(scene) as collection:
            found = list(collection.find({"_id": {"$in": _mongodb.victims_of(before)}}))
        return _mongodb.receipt(before, sum(set(f) == {"_id", NONSENSE} for f in found), "hold nonsense")


FAULT = DocumentsOverwritten
