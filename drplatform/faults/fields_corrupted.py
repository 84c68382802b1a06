"""Fields change silently: every document is there, and some say something else."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import bson
import pymongo
from bson import json_util

from drplatform.faults import _mongodb
from drplatform.model import errors, ports


@dataclass(frozen=True)
class FieldsCorrupted(_mongodb.OnDocuments):
    """One field of a share of a collection's documents silently changes a little: the count, the type and the size stay."""

    kind = "fields-corrupted"

    def capture(self, scene: ports.Scene) -> Mapping[str, Any]:
        """The victims, each with the digest of its content; never the content."""
        with self.collection(scene) as collection:
            victims, total = self.victims(collection)
            found = [d for d in collection.find({"_id": {"$in": victims}}) if _corruptible(d)]
        if not found:
            raise errors.Inconclusive(f"No document of {self.name(scene)} has a field that could be corrupted.")
        digests = [_digest(document) for document in found]
        return {
            "namespace": self.name(scene),
            "victims": json_util.dumps([d["_id"] for d in found]),
            "documents": total,
            "digests": digests,
        }

    def apply(self, scene: ports.Scene) -> None:
        with self.collection(scene) as collection:
            victims, _ = self.victims(collection)
            changes = [(d["_id"], _corrupted(d)) for d in collection.find({"_id": {"$in": victims}}) if _corruptible(d)]
            collection.bulk_write([pymongo.UpdateOne({"_id": v}, {"$set": change}) for v, change in changes], ordered=False)

    def confirm(self, scene: ports.Scene, before: Mapping[str, Any]) -> ports.Receipt:
        """The digests of whole documents, as they are read now, differ from those of before."""
        with self.collection(scene) as collection:
            now = [_digest(d) for d in collection.find({"_id": {"$in": _mongodb.victims_of(before)}})]
        changed = sum(d not in before["digests"] for d in now)
        return _mongodb.receipt(before, changed, "say something else")


def _digest(document: Mapping[str, Any]) -> str:
    return hashlib.sha256(bson.encode(dict(sorted(document.items())))).hexdigest()


def _corruptible(document: Mapping[str, Any]) -> bool:
    return bool(_corrupted(document))


def _corrupted(document: Mapping[str, Any]) -> dict[str, Any]:
    """The last field that can change without changing its type or size, changed."""
    for name, value in reversed(list(document.items())):
        if name != "_id" and not isinstance(value, bool):
            if isinstance(value, int | float):
                return {name: type(value)(value + 1)}
            if isinstance(value, str) and value.isascii() and value:
                return {name: value[:-1] + ("x" if value[-1] != "x" else "y")}
            if isinstance(value, bytes) and value:
                return {name: value[:-1] + bytes([value[-1] ^ 1])}
    return {}


FAULT = FieldsCorrupted
