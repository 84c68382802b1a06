"""The application's users, and a look at what its stores hold, read past its services. See `model.services.Application`."""

import functools
import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from drplatform.application import clients, documents, pdf, web
from drplatform.application.clients import CACHE, JOBS, PDFS, UPLOADS, WORKING, Clients, answering
from drplatform.model import errors
from drplatform.model.clock import Clock, wait_for
from drplatform.model.ports import Address, Endpoint
from drplatform.model.references import Document, References

SECONDS_TO_MAKE = 30.0
"""Within which an upload must have become a PDF."""
SECONDS_TO_AGREE = 15.0
"""Within which a report must be seen to agree with the database."""
PREFIX = "application/"


def connect(stores: Mapping[str, Endpoint], clock: Clock) -> "Users":
    """Users of an application on these stores (by kind)."""
    return Users(stores, clock)


class Users:
    """See `model.services.Application`."""

    def __init__(self, stores: Mapping[str, Endpoint], clock: Clock) -> None:
        self._stores, self._clock = stores, clock
        self._opened: Clients | None = None

    @property
    def _clients(self) -> Clients:
        """Made when they are needed: who only asks for health needs none."""
        if self._opened is None:
            self._opened = clients.connect(self._stores)
        return self._opened

    def health(self, service: Address) -> None:
        _expect(web.call(service, "GET", "/healthz"), 200, f"the service at {service} to be well")

    def readiness(self, service: Address) -> Mapping[str, str]:
        reply = web.call(service, "GET", "/readyz")
        try:
            found: dict[str, str] = json.loads(reply.body)["depends_on"]
        except (ValueError, KeyError, TypeError) as error:
            raise errors.StoreError(f"The service at {service} does not say what it reaches (status {reply.status}).") from error
        return found

    def integration_defects(self, service: str, services: Mapping[str, Address]) -> list[str]:
        if service not in _OWN_WORK:
            return [f"this application has no integration test of {service!r}"]
        return _OWN_WORK[service](self, services)

    def keeping_defects(self, at: Address) -> list[str]:
        """Of what takes uploads: one is kept, shown and removed."""
        content, found = b"An upload that is kept.\n", []
        id = self._upload(at, "integration test.txt", content)
        try:
            shown = json.loads(_expect(web.call(at, "GET", f"/documents/{id}"), 200, "an upload to be shown").body)
            if shown["bytes"] != len(content) or shown["sha256"] != hashlib.sha256(content).hexdigest():
                found.append(f"it shows another content than was uploaded: {shown['bytes']} bytes with the digest {shown['sha256']}")
        finally:
            _expect(web.call(at, "DELETE", f"/documents/{id}"), 200, "an upload to be removed")
        if (status := web.call(at, "GET", f"/documents/{id}").status) != 404:
            found.append(f"it still answers {status} for an upload that was removed")
        return found

    def making_defects(self, api: Address) -> list[str]:
        """Of what makes PDFs of uploads: one is made, and whole."""
        return pdf.defects(self.round_trip(api))

    def reporting_defects(self, at: Address) -> list[str]:
        """Of what counts documents: it counts as the database does. Others may write meanwhile, so a moment is waited for when none does."""

        def counted() -> tuple[Any, ...]:
            before = documents.counts(self._clients)
            reported = json.loads(_expect(web.call(at, "GET", "/report"), 200, "a report").body)
            return before, {status: reported.get(status) for status in before}, documents.counts(self._clients)

        def agreed(seen: tuple[Any, ...]) -> bool:
            return bool(seen[0] == seen[1] == seen[2])

        try:
            wait_for(self._clock, "a report that agrees with the database", counted, within=SECONDS_TO_AGREE, until=agreed)
        except errors.DeadlineExceeded as error:
            return [str(error)]
        return []

    def populate(self, gateway: Address, uploads: int) -> None:
        ids = [self._upload(gateway, f"reference {n}.txt", f"Reference upload {n}\n".encode() * (n + 1)) for n in range(uploads)]
        for id in ids:
            self._made(gateway, id)
            _expect(web.call(gateway, "GET", f"/documents/{id}"), 200, "a document to be shown")  # which leaves a cached copy

    def round_trip(self, gateway: Address) -> bytes:
        id = self._upload(gateway, "integration test.txt", b"An upload that becomes a PDF.\n")
        try:
            return self._made(gateway, id)
        finally:
            _expect(web.call(gateway, "DELETE", f"/documents/{id}"), 200, "the document of the integration test to be removed")

    def pdf_defects(self, content: bytes) -> list[str]:
        return pdf.defects(content)

    def references(self) -> References:
        """What refers is read before what it refers to, so that what is written meanwhile never seems to dangle."""
        with answering("a store"):
            jobs = {str(id) for queue in (JOBS, WORKING) for id in self._clients.redis.lrange(queue, 0, -1)}
            cached = {key.removeprefix(CACHE): self._version(key) for key in map(str, self._clients.redis.scan_iter(match=CACHE + "*"))}
            kept = {str(d["_id"]): _document(d) for d in self._clients.documents.find()}
            return References(kept, cached, jobs, self._keys(UPLOADS), self._keys(PDFS))

    def close(self) -> None:
        if self._opened:
            self._opened.close()

    def _upload(self, gateway: Address, name: str, content: bytes) -> str:
        reply = _expect(web.call(gateway, "POST", "/uploads", content, name), 201, "an upload to be taken")
        return str(json.loads(reply.body)["id"])

    def _made(self, gateway: Address, id: str) -> bytes:
        look = functools.partial(web.call, gateway, "GET", f"/documents/{id}/pdf")
        what = f"the PDF of the upload {id}"
        reply = wait_for(self._clock, what, look, within=SECONDS_TO_MAKE, ignoring=(errors.StoreError,), until=lambda r: r.status == 200)
        return reply.body

    def _version(self, key: str) -> int:
        """0 of one that has just been removed, which refers to nothing any more."""
        found = self._clients.redis.get(key)
        return int(json.loads(str(found))["version"]) if found else 0

    def _keys(self, bucket: str) -> set[str]:
        pages = self._clients.files.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=PREFIX)
        return {str(item["Key"]) for page in pages for item in page.get("Contents", ())}


def _document(found: Mapping[str, Any]) -> Document:
    return Document(str(found["_id"]), str(found["upload"]), str(found["pdf"]), int(found["version"]))


def _expect(reply: web.Reply, status: int, what: str) -> web.Reply:
    if reply.status != status:
        raise errors.StoreError(f"Expected {what}, but was told {reply.status}: {reply.body[:300].decode(errors='replace').strip()}")
    return reply


_OWN_WORK: Mapping[str, Callable[[Users, Mapping[str, Address]], list[str]]] = {
    "api": lambda users, at: users.keeping_defects(at["api"]),
    "gateway": lambda users, at: users.keeping_defects(at["gateway"]),
    "worker": lambda users, at: users.making_defects(at["api"]),
    "reporting": lambda users, at: users.reporting_defects(at["reporting"]),
}
"""The integration test of each service. The worker is not called: what it does is seen through the api that it depends on."""
