"""Documents into a collection, as they are: raw BSON in large inserts, each answer checked to the last document.

The insert command changes some documents (it moves `_id` to the front, and puts the time into empty timestamps at the top level); those
go through applyOps, which does not.
"""

import re
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import bson

from drplatform.model import errors
from drplatform.stores.mongodb import namespaces, raw
from drplatform.stores.mongodb.target import Target
from drplatform.stores.mongodb.transactions import Unit
from drplatform.stores.mongodb.wire import OPTIONS, Document, Wire

_BATCH_BYTES = 2 * 1024 * 1024
_BATCH_DOCUMENTS = 50_000
_DUPLICATE_KEY = 11000
_ZEROS = bytes(9)
_EMPTY_TIMESTAMP = re.compile(rb"\x11[^\x00]*\x00{9}")


class Loader:
    """One collection, one connection, one thread. `twice` is handed each document whose `_id` is there already; without, it is a failure."""

    def __init__(self, wire: Wire, namespace: str, twice: Callable[[bytes], None] | None = None) -> None:
        self._wire, self._namespace, self._twice = wire, namespace, twice
        self._database, self._name = namespaces.split(namespace)
        self._as_is = Target(wire)

    @property
    def kept(self) -> set[str]:
        return self._as_is.kept

    def load(self, block: bytes, seen: raw.Walk) -> None:
        """A block, of which that was seen. Raises RecoveryFailed naming a document that the server did not take."""
        suspect = namespaces.created_with_load(self._namespace) or _may_hold_empty_timestamp(block)
        for run, items in raw.runs(block, seen.ends, _BATCH_BYTES, _BATCH_DOCUMENTS):
            if seen.id_first and not suspect:
                self._insert_run(run, items)
            else:
                self._load_each(raw.split(bytes(run)), suspect)

    def _load_each(self, batch: list[bytes], suspect: bool) -> None:
        if namespaces.created_with_load(self._namespace) or any(raw.changes_when_written(d, suspect) for d in batch):
            self._put(batch)
        else:
            self._insert(batch)

    def _put(self, batch: list[bytes]) -> None:
        for document in batch:
            self._as_is.put_document(self._namespace, document)
        self._as_is.flush()

    def _insert_run(self, run: memoryview, items: int) -> None:
        """Documents as they lie in the block, which are told apart only when there is one that the server does not take."""
        answer = self._ask([run])
        if not _all_taken(answer, items):
            self._insert(self._after_refused(raw.split(bytes(run)), answer))

    def _insert(self, batch: list[bytes]) -> None:
        while batch:
            answer = self._ask(batch)
            batch = [] if _all_taken(answer, len(batch)) else self._after_refused(batch, answer)

    def _after_refused(self, batch: list[bytes], answer: Document) -> list[bytes]:
        """What is still to be sent: what follows the document that the server did not take."""
        done = int(answer["n"])
        self._refused(batch[done], answer)
        return batch[done + 1 :]

    def _ask(self, documents: Sequence[bytes | memoryview]) -> Document:
        command = {"insert": self._name, "ordered": True, "bypassDocumentValidation": True, "writeConcern": {"w": 1}}
        answer = self._wire.call(self._database, command, {"documents": documents})
        if "writeConcernError" in answer:
            raise errors.RecoveryFailed(f"Loading {self._namespace} failed: {answer['writeConcernError'].get('errmsg')}.")
        return answer

    def _refused(self, document: bytes, answer: dict[str, list[dict[str, object]]]) -> None:
        """Some documents that exist cannot be inserted any more (field names): those are put. Anything else is a failure."""
        reason = answer.get("writeErrors", [{}])[0]
        if reason.get("code") == _DUPLICATE_KEY and self._twice:
            self._twice(document)
        elif reason.get("code") in (None, _DUPLICATE_KEY):
            raise not_loaded(document, self._namespace, reason.get("errmsg", "no reason given"))
        else:
            self._put([document])


def _all_taken(answer: Document, items: int) -> bool:
    return int(answer["n"]) == items and "writeErrors" not in answer


class Twice:
    """Documents that a full backup holds twice: deleted and inserted again while the dump read. Which of the two is there does not matter,
    since the dump's log holds both operations; that it does is what is checked here."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._documents: dict[str, list[bytes]] = {}
        self._inserts = Counter[bytes]()

    def note(self, namespace: str, document: bytes) -> None:
        """From several threads."""
        with self._lock:
            self._documents.setdefault(namespace, []).append(document)

    def see(self, unit: Unit) -> None:
        """What the dump's log does, after everything was loaded."""
        if self._documents:
            self._inserts.update(operation.ui for operation in unit.operations if operation.op == "i")

    def explain(self, names: Mapping[bytes, str]) -> None:
        """Raises RecoveryFailed when the log does not hold an insertion for each. `names`: of collections, by UUID, before the log."""
        logged = {namespace: self._inserts[uuid] for uuid, namespace in names.items()}
        for namespace, documents in self._documents.items():
            if len(documents) > logged.get(namespace, 0):
                raise not_loaded(documents[-1], namespace, "the backup holds it twice, and its log does not say why")


def not_loaded(document: bytes, namespace: str, reason: object) -> errors.RecoveryFailed:
    identity = raw.id_of(document)
    told = repr(bson.decode(raw.assemble([identity]), OPTIONS)["_id"]) if identity else "none"
    return errors.RecoveryFailed(f"The document with _id {told} could not be loaded into {namespace}: {reason}.")


def _may_hold_empty_timestamp(block: bytes) -> bool:
    """The expression is slow on random bytes, and the end of a name with eight zeros after it is found fast (fastest from behind)."""
    return block.rfind(_ZEROS) >= 0 and _EMPTY_TIMESTAMP.search(block) is not None
