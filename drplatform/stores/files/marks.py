"""The ledger's writes in file storage, and the prober. A mark is an object, `.drplatform/marks/<client>/<number>`, with the payload as content."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any
from urllib.parse import quote, unquote

from drplatform.model import errors, ledger
from drplatform.model.clock import Clock
from drplatform.model.ledger import Mark
from drplatform.model.ports import Endpoint
from drplatform.stores.files import access, digest, listing
from drplatform.stores.files.wire import Wire

WRITE_SECONDS = 1.8
READ_SECONDS = 30.0
_BUSY = frozenset({"SlowDown", "ServiceUnavailable", "Busy"})
"""With status 503: the server turned the request away before doing anything (Amazon S3 API reference, "Error responses")."""


def key(mark: Mark) -> str:
    return f"{listing.MARKS}{quote(mark.client, safe='')}/{mark.number:08d}"


class FilesMarker:
    """A client of the ledger with a connection of its own. The server's 200 is the acknowledgement."""

    def __init__(self, endpoint: Endpoint, clock: Clock, bucket: str) -> None:
        self._wire, self._clock = Wire(endpoint, clock, bucket), clock

    def write(self, mark: Mark, payload: bytes) -> None:
        deadline = self._clock.monotonic() + WRITE_SECONDS
        self._wire.connect(deadline)
        answer = self._wire.request("PUT", key(mark), payload, deadline)
        if answer.status in (200, 204):
            return
        self._wire.close()
        if answer.status < 500 or (answer.status == 503 and answer.code in _BUSY):
            raise errors.NotWritten(f"The write was refused: {answer}.")
        raise errors.Indeterminate(f"Nobody knows whether the write happened: {answer}.")

    def close(self) -> None:
        self._wire.close()


class FilesProber:
    """A user: reads the anchor from among the marks, then writes an object of its own."""

    def __init__(self, endpoint: Endpoint, clock: Clock, bucket: str, anchor: Mark, payload: bytes) -> None:
        self._wire, self._clock = Wire(endpoint, clock, bucket), clock
        self._key, self._payload = key(anchor), payload

    def attempt(self, number: int, timeout: float) -> None:
        deadline = self._clock.monotonic() + timeout
        self._wire.connect(deadline)
        found = self._wire.request("GET", self._key, b"", deadline)
        if found.status != 200 or found.body != self._payload:
            raise errors.StoreError(f"The server answers, but the old acknowledged write is not there ({found.status}).")
        written = self._wire.request("PUT", listing.PROBE, b"%d" % number, deadline)
        if written.status != 200:
            raise errors.StoreError(f"The server reads, but does not take a new write: {written}.")
        if self._clock.monotonic() > deadline:
            raise errors.StoreError("The server answered, but too late.")

    def close(self) -> None:
        self._wire.close()


def marks(s3: Any, endpoint: Endpoint, clock: Clock) -> Iterator[Mark]:
    """All marks of the first bucket, in the order of its listing, the content of each as it is now."""
    bucket = access.buckets(endpoint)[0]
    with ExitStack() as wires:
        own = threading.local()

        def read(entry: listing.Entry) -> Mark:
            if not hasattr(own, "wire"):
                own.wire = wires.enter_context(_Reading(endpoint, clock, bucket))
            return own.wire.mark(entry.key)  # type: ignore[no-any-return]

        yield from digest.in_parallel(listing.entries(s3, bucket, listing.MARKS), read)


class _Reading:
    """A connection to read marks from."""

    def __init__(self, endpoint: Endpoint, clock: Clock, bucket: str) -> None:
        self._wire, self._clock = Wire(endpoint, clock, bucket), clock

    def __enter__(self) -> "_Reading":
        return self

    def __exit__(self, *exc: object) -> None:
        self._wire.close()

    def mark(self, name: str) -> Mark:
        deadline = self._clock.monotonic() + READ_SECONDS
        self._wire.connect(deadline)
        answer = self._wire.request("GET", name, b"", deadline)
        if answer.status != 200:
            raise errors.StoreError(f"The mark {name} is listed, but cannot be read: {answer}.")
        return _mark(name, answer.body)


def _mark(name: str, payload: bytes) -> Mark:
    """A name that no client made is a mark with number -1: nobody wrote that, so it shows as a phantom."""
    client, _, number = name.removeprefix(listing.MARKS).rpartition("/")
    sound = number.isascii() and number.isdigit()
    return Mark(unquote(client), int(number) if sound else -1, ledger.digest(payload))
