"""One object: its header, reading it whole although it may change meanwhile, and its part in a digest."""

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

from botocore.exceptions import ClientError, HTTPClientError, IncompleteReadError, ResponseStreamingError

from drplatform.model import errors
from drplatform.model.backup import Digest, Multiset
from drplatform.stores.files import access, grants, listing
from drplatform.stores.files.listing import Entry

PIECE_BYTES = 2 * 1024 * 1024 - 8 * 1024
"""A block holds two and a header beside them. Smaller ones cost more turns of the threads for the same bytes."""
ATTEMPTS = 5
PROPERTIES = ("CacheControl", "ContentDisposition", "ContentEncoding", "ContentLanguage", "WebsiteRedirectLocation")
"""Properties beside the content type, as boto3 calls them, in answers and requests alike. Beside them: Expires."""
STANDARD = "STANDARD"
_BROKEN = (HTTPClientError, IncompleteReadError, ResponseStreamingError, OSError)


_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode
encoded = json.JSONEncoder(separators=(",", ":")).encode
"""Both are made once: `json.dumps` makes an encoder for each call that has other separators, which takes longer than encoding."""


@dataclass(frozen=True)
class Header:
    """An object without its content. `etag`, `modified` (ISO 8601) and `version` are those of the source; a restored object has its own.

    `grants`: its access control list as in `grants`, empty when it is the usual one. `age`: how many versions of it are newer.
    """

    key: str
    size: int
    etag: str
    modified: str
    content_type: str
    storage_class: str = STANDARD
    properties: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    grants: tuple[str, ...] = ()
    version: str = ""
    age: int = 0

    def canonical(self) -> bytes:
        return canonical(vars(self))

    def to_json(self) -> dict[str, Any]:
        return dict(vars(self))

    @classmethod
    def from_json(cls, document: Any) -> "Header":
        """Raises IntegrityError when it is none."""
        try:
            known = {name: document[name] for name in cls.__dataclass_fields__ if name in document or name in _FIRST}
            sorts = {"key": str(known["key"]), "size": int(known["size"]), "grants": tuple(known.get("grants", ()))}
            return cls(**{**known, **sorts})
        except (KeyError, TypeError, ValueError) as error:
            raise errors.IntegrityError(f"The header of an object cannot be read ({error}); do not trust this backup.") from error


def canonical(header: Mapping[str, Any]) -> bytes:
    """The byte form of what a restore must bring back of a header's fields."""
    kept = list(_restored(header))
    storage_class, grants, age = header["storage_class"], header.get("grants"), header.get("age")
    if storage_class != STANDARD or grants or age:
        special = {"class": storage_class if storage_class != STANDARD else "", "grants": grants, "age": age}
        kept.append({name: value for name, value in special.items() if value})
    return _canonical(kept).encode()


_restored = itemgetter("key", "size", "content_type", "properties", "metadata", "tags")
_FIRST = frozenset({"key", "size", "etag", "modified", "content_type", "storage_class", "properties", "metadata", "tags"})
"""Fields of the headers of all backups; the others came later."""


@dataclass(frozen=True)
class End:
    """All of the content went before, and this is its SHA-256 in hex."""

    sha256: str


@dataclass(frozen=True)
class Void:
    """The object changed or went away while it was read: forget what came since its header."""


Event = Header | bytes | End | Void


class _Gone(Exception):
    pass


class _Changed(Exception):
    pass


def read(s3: Any, bucket: str, entry: Entry, *, listed: bool = False) -> Iterator[Event]:
    """Header, content, End. When the object changes meanwhile: Void, and from the start again. Nothing when it is not there.

    Of an entry with a version that very version, which cannot change; else the current one, which need not be the one of the entry.
    `listed`: read its access control list, too. Raises StoreError when it cannot be read, or changes faster than it can be read.
    """
    for _ in range(ATTEMPTS):
        begun = False
        try:
            for event in _once(s3, bucket, entry, listed):
                yield event
                begun = True
            return
        except (_Gone, _Changed) as change:
            if begun:
                yield Void()
            if isinstance(change, _Gone):
                return
    raise errors.StoreError(f"{entry.key} in {bucket} changed {ATTEMPTS} times while it was read; back it up when it is quieter.")


def _once(s3: Any, bucket: str, entry: Entry, listed: bool) -> Iterator[Event]:
    place = {"Bucket": bucket, "Key": entry.key, **({"VersionId": entry.version} if entry.version else {})}
    answer = _get(s3, place)
    try:
        header = _header(s3, place, answer, listed, entry.age)
        yield header
        sha256 = hashlib.sha256()
        for piece in _pieces(s3, place, header, answer["Body"]):
            sha256.update(piece)
            yield piece
        yield End(sha256.hexdigest())
    finally:
        answer["Body"].close()


def _get(s3: Any, place: Mapping[str, str], **conditions: str) -> dict[str, Any]:
    try:
        with access.doing(f"read {place['Key']} in {place['Bucket']}"):
            answer: dict[str, Any] = s3.get_object(**place, **conditions)
            return answer
    except errors.StoreError as error:
        raise _sorted(error) from error


def _sorted(error: errors.StoreError) -> Exception:
    cause = error.__cause__
    if isinstance(cause, ClientError) and access.is_missing(cause):
        return _Gone()
    return _Changed() if isinstance(cause, ClientError) and access.is_changed(cause) else error


def _header(s3: Any, place: Mapping[str, str], answer: Mapping[str, Any], listed: bool, age: int) -> Header:
    tags, granted = _beside(s3, place, answer, listed)
    expires = {"Expires": answer["ExpiresString"]} if "Expires" in answer else {}  # one that is no date is taken by no request
    return Header(
        key=place["Key"],
        size=answer["ContentLength"],
        etag=answer["ETag"],
        modified=answer["LastModified"].isoformat(),
        content_type=answer.get("ContentType", ""),
        storage_class=answer.get("StorageClass", STANDARD),
        properties={**{name: answer[name] for name in PROPERTIES if name in answer}, **expires},
        metadata=answer["Metadata"],
        tags=tags,
        grants=granted,
        version=answer.get("VersionId", ""),
        age=age,
    )


def _beside(s3: Any, place: Mapping[str, str], answer: Mapping[str, Any], listed: bool) -> tuple[dict[str, str], tuple[str, ...]]:
    """Tags and access control list come by requests of their own: they count only if the object is still the same afterwards."""
    if not answer.get("TagCount") and not listed:
        return {}, ()
    try:
        with access.doing(f"read the tags of {place['Key']} in {place['Bucket']}"):
            found = s3.get_object_tagging(**place)["TagSet"] if answer.get("TagCount") else ()
            granted = grants.of_object(s3, place) if listed else ()
            s3.head_object(**place, IfMatch=answer["ETag"])
    except errors.StoreError as error:
        raise _sorted(error) from error
    return {tag["Key"]: tag["Value"] for tag in found}, granted


def _pieces(s3: Any, place: Mapping[str, str], header: Header, body: Any) -> Iterator[bytes]:
    """The content; a broken connection is taken up again where it broke, if the object is still the same."""
    offset, last = 0, "the content ended early"
    for _ in range(ATTEMPTS):
        try:
            while piece := body.read(PIECE_BYTES):
                offset += len(piece)
                yield piece
        except _BROKEN as error:
            last = str(error)
        finally:
            body.close()
        if offset == header.size:
            return
        body = _get(s3, place, IfMatch=header.etag, Range=f"bytes={offset}-")["Body"]
    raise errors.StoreError(f"Could not read {header.key} in {place['Bucket']} beyond byte {offset} of {header.size}: {last}")


class Tally:
    """Digests to which several threads add objects."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: dict[str, Multiset] = {}
        self._bytes = 0

    def open(self, name: str) -> None:
        """Have this digest also if nothing comes."""
        with self._lock:
            self._found.setdefault(name, Multiset())

    def add(self, bucket: str, header: Header, sha256: str) -> None:
        self.add_fields(bucket, vars(header), sha256)

    def add_fields(self, bucket: str, header: Mapping[str, Any], sha256: str) -> None:
        """The same with a header's fields, as an index holds them."""
        self.add_item(bucket, header["key"], header["size"], canonical(header) + b"\n" + sha256.encode(), header.get("age", 0))

    def add_item(self, bucket: str, key: str, size: int, item: bytes, age: int = 0) -> None:
        """The same with the canonical form of the header, a line feed and the SHA-256 of the content in hex."""
        name = listing.digest_name(bucket, key, age)
        with self._lock:
            self._found.setdefault(name, Multiset()).add(item)
            self._bytes += size

    def digests(self) -> dict[str, Digest]:
        with self._lock:
            return {name: items.digest() for name, items in self._found.items()}

    def counts(self) -> dict[str, int]:
        """Objects by digest, and `bytes` in all."""
        return {**{name: digest.items for name, digest in self.digests().items()}, "bytes": self._bytes}
