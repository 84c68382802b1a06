"""Documents into a collection, as they are: raw BSON in large inserts, each answer checked to the last document.

The insert command changes some documents (it moves `_id` to the front, and puts the time into empty timestamps at the top level); those
go through applyOps, which does not.
"""

import re
from collections.abc import Iterator

from drplatform.model import errors
from drplatform.stores.mongodb import namespaces, raw
from drplatform.stores.mongodb.target import Target
from drplatform.stores.mongodb.wire import Wire

_BATCH_BYTES = 2 * 1024 * 1024
_BATCH_DOCUMENTS = 50_000
_DUPLICATE_KEY = 11000
_EMPTY_TIMESTAMP = re.compile(rb"\x11[^\x00]*\x00{9}")


class Loader:
    """One collection, one connection, one thread."""

    def __init__(self, wire: Wire, namespace: str) -> None:
        self._wire, self._namespace = wire, namespace
        self._database, self._name = namespaces.split(namespace)
        self._as_is = Target(wire)

    def load(self, blocks: Iterator[bytes]) -> None:
        """Raises RecoveryFailed naming a document that the server did not take."""
        for block in blocks:
            suspect = _EMPTY_TIMESTAMP.search(block) is not None
            for batch in _batches(block):
                if namespaces.created_with_load(self._namespace) or any(raw.changes_when_written(d, suspect) for d in batch):
                    self._put(batch)
                else:
                    self._insert(batch)

    def _put(self, batch: list[bytes]) -> None:
        for document in batch:
            self._as_is.put_document(self._namespace, document)
        self._as_is.flush()

    def _insert(self, batch: list[bytes]) -> None:
        command = {"insert": self._name, "ordered": True, "bypassDocumentValidation": True, "writeConcern": {"w": 1}}
        while batch:
            answer = self._wire.call(self._database, command, {"documents": batch})
            if "writeConcernError" in answer:
                raise errors.RecoveryFailed(f"Loading {self._namespace} failed: {answer['writeConcernError'].get('errmsg')}.")
            done = int(answer["n"])
            if done == len(batch) and "writeErrors" not in answer:
                return
            self._refused(batch[done], answer)
            batch = batch[done + 1 :]

    def _refused(self, document: bytes, answer: dict[str, list[dict[str, object]]]) -> None:
        """Some documents that exist cannot be inserted any more (field names): those are put. Anything else is a failure."""
        reason = answer.get("writeErrors", [{}])[0]
        if reason.get("code") in (None, _DUPLICATE_KEY):
            name = raw.id_of(document) or b"?"
            told = raw.value(raw.assemble([name]), raw.fields(raw.assemble([name]))[b"_id"]) if name != b"?" else "none"
            raise errors.RecoveryFailed(
                f"The document with _id {told!r} could not be loaded into {self._namespace}: {reason.get('errmsg', 'no reason given')}."
            )
        self._put([document])


def _batches(block: bytes) -> Iterator[list[bytes]]:
    waiting, size = list[bytes](), 0
    for document in raw.documents(block):
        if waiting and (size + len(document) > _BATCH_BYTES or len(waiting) >= _BATCH_DOCUMENTS):
            yield waiting
            waiting, size = [], 0
        waiting.append(document)
        size += len(document)
    if waiting:
        yield waiting
