"""The ledger's writes in MongoDB, and the prober: single commands on connections of their own, never repeated by themselves.

A mark is a document `{_id, client, number, payload}` of `drplatform.marks`, acknowledged by the majority, or as the endpoint's option `write_concern` says.
"""

from collections.abc import Iterator
from typing import Any

from bson import ObjectId

from drplatform.model import errors, ledger
from drplatform.model.ledger import Mark
from drplatform.stores.mongodb import namespaces
from drplatform.stores.mongodb import wire as wires
from drplatform.stores.mongodb.members import Members
from drplatform.stores.mongodb.wire import Wire

WRITE_SECONDS = 1.8
_WTIMEOUT_MILLISECONDS = 1500
_LOOK_SECONDS = 0.5
_DATABASE, _MARKS = namespaces.split(namespaces.MARKS)
_PROBES = namespaces.split(namespaces.PROBES)[1]
_NAMESPACE_EXISTS = 48
_REFUSED = frozenset({10107, 13435, 13436, 13, 18, 2, 9, 73, 121, 166, 11000})
"""Codes with which the server says that it did not write: not primary, not allowed, not valid. Any other leaves it open, above all those
of a step-down or a shutdown in the middle."""


class Primary:
    """A connection to the primary, found when there is none, dropped at the first failure."""

    def __init__(self, of: Members) -> None:
        self._members = of
        self._held: Wire | None = None

    def get(self, deadline: float) -> Wire:
        """Raises StoreError when no primary is found before the deadline (monotonic seconds)."""
        left = deadline - self._members.clock.monotonic()
        if self._held is None:
            self._held = self._members.primary_now(max(0.001, min(_LOOK_SECONDS, left)))
        if self._held is None:
            where = ", ".join(map(str, self._members.endpoint.addresses))
            raise errors.StoreError(f"No MongoDB primary answers at {where}.")
        return self._held.within(deadline - self._members.clock.monotonic())

    def drop(self) -> None:
        if self._held is not None:
            self._held.close()
        self._held = None


class MongoMarker:
    """A client of the ledger."""

    def __init__(self, of: Members, client: str) -> None:
        self._clock, self._client, self._primary = of.clock, client, Primary(of)
        told = of.endpoint.options.get("write_concern", "majority")
        self._concern = {"w": int(told) if told.isdigit() else told, "wtimeout": _WTIMEOUT_MILLISECONDS}

    def write(self, mark: Mark, payload: bytes) -> None:
        deadline = self._clock.monotonic() + WRITE_SECONDS
        document = {"_id": ObjectId(), "client": mark.client, "number": mark.number, "payload": payload}
        try:
            self._insert(self._connection(deadline), document)
        except BaseException:
            self._primary.drop()
            raise

    def close(self) -> None:
        self._primary.drop()

    def _connection(self, deadline: float) -> Wire:
        try:
            return self._primary.get(deadline)
        except errors.StoreError as error:
            raise errors.NotWritten(f"The write was not sent: {error}") from error

    def _insert(self, wire: Wire, document: dict[str, Any]) -> None:
        try:
            answer = wire.call(_DATABASE, {"insert": _MARKS, "documents": [document], "writeConcern": self._concern})
        except wires.ServerError as error:
            raise _outcome(error.code, str(error)) from error
        except wires.ConnectionLost as error:
            raise errors.Indeterminate(f"Nobody knows whether the write happened: {error}") from error
        for refused in answer.get("writeErrors", ()):
            raise _outcome(int(refused["code"]), f"MongoDB refused the write: {refused['errmsg']}.")
        if "writeConcernError" in answer:
            raise errors.Indeterminate(f"The write may yet be undone: {answer['writeConcernError'].get('errmsg')}.")


def _outcome(code: int, told: str) -> errors.StoreError:
    return errors.NotWritten(told) if code in _REFUSED else errors.Indeterminate(told)


class MongoProber:
    """A user: reads the anchor from the primary, then has a document of its own changed and acknowledged by the majority."""

    def __init__(self, of: Members, anchor: Mark, payload: bytes) -> None:
        self._clock, self._primary, self._payload = of.clock, Primary(of), payload
        self._anchor: dict[str, Any] = {"client": anchor.client, "number": anchor.number}
        self._own = ObjectId()

    def attempt(self, number: int, timeout: float) -> None:
        deadline = self._clock.monotonic() + timeout
        try:
            wire = self._primary.get(deadline)
            self._read(wire)
            self._write(wire.within(deadline - self._clock.monotonic()), number)
            if self._clock.monotonic() > deadline:
                raise errors.StoreError("MongoDB answered, but too late.")
        except BaseException:
            self._primary.drop()
            raise

    def close(self) -> None:
        self._primary.drop()

    def _read(self, wire: Wire) -> None:
        found = wire.call(_DATABASE, {"find": _MARKS, "filter": self._anchor, "limit": 1, "singleBatch": True})["cursor"]["firstBatch"]
        if not found or found[0].get("payload") != self._payload:
            raise errors.StoreError("MongoDB answers, but the old acknowledged write is not there.")
        self._anchor["_id"] = found[0]["_id"]  # found by its key from now on: there is no index on clients

    def _write(self, wire: Wire, number: int) -> None:
        change = {"q": {"_id": self._own}, "u": {"$set": {"number": number}}, "upsert": True}
        answer = wire.call(_DATABASE, {"update": _PROBES, "updates": [change], "writeConcern": {"w": "majority"}})
        if "writeErrors" in answer or "writeConcernError" in answer:
            raise errors.StoreError(f"MongoDB did not acknowledge a new write: {answer}.")


def prepare(of: Members) -> None:
    """Make the collection of the marks when it is missing. Waits for a primary no longer than a write may take."""
    with of.primary(WRITE_SECONDS) as wire:
        try:
            wire.call(_DATABASE, {"create": _MARKS, "writeConcern": {"w": "majority"}})
        except wires.ServerError as error:
            if error.code != _NAMESPACE_EXISTS:
                raise


def marks(of: Members) -> Iterator[Mark]:
    """All marks in the order in which the server keeps them, which is not that of writing after a restore.

    A document that is no mark any more is one with number -1: nobody wrote that, so it is named as a phantom.
    """
    with of.primary() as wire:
        for document in wire.documents(_DATABASE, {"find": _MARKS, "hint": {"$natural": 1}, "readConcern": {"level": "majority"}}):
            yield _mark(document)


def _mark(document: dict[str, Any]) -> Mark:
    client, number, payload = document.get("client"), document.get("number"), document.get("payload")
    if isinstance(client, str) and isinstance(number, int) and isinstance(payload, bytes):
        return Mark(client, int(number), ledger.digest(payload))
    return Mark(str(client), -1, ledger.digest(repr(document).encode()))
