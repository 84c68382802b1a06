"""Objects on their way from packs into a bucket: each is verified before it becomes visible, and what breaks off leaves nothing behind."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from drplatform.model import errors
from drplatform.stores.files import access, content, digest, listing, upload, versions
from drplatform.stores.files.content import End, Event, Header, Void
from drplatform.stores.files.index import Known
from drplatform.stores.files.listing import Entry


@dataclass(frozen=True)
class Arrived:
    """An object whose content was all there. `refusal` says why the target did not take it; empty when it did.

    `lacks` says what the target did not take of its properties.
    """

    header: Header
    sha256: str
    refusal: str = ""
    lacks: str = ""

    @property
    def written(self) -> Header:
        """As the target has it."""
        return without_list(self.header) if self.lacks else self.header


def without_list(header: Header) -> Header:
    return replace(header, grants=())


def arrive(s3: Any, bucket: str, events: Iterator[Event], takes: Callable[[Header], bool] = lambda header: True) -> Iterator[Arrived]:
    """Write the objects that `takes` wants, in order; the others are passed over. Raises IntegrityError, StoreError."""
    current: _Object | None = None
    passing = False
    try:
        for event in events:
            if isinstance(event, Header):
                _require(current is None and not passing)
                passing = not takes(event)
                current = None if passing else _Object(s3, bucket, event)
                continue
            _require(passing or current is not None)
            if isinstance(event, bytes):
                if current:
                    current.add(event)
                continue
            one, current, passing = current, None, False
            if one and isinstance(event, End):
                yield one.finish(event.sha256)
            elif one and isinstance(event, Void):
                one.abandon()
        _require(current is None and not passing)
    except BaseException:
        if current is not None:
            current.abandon()
        raise


def delete(s3: Any, bucket: str, keys: Iterator[str]) -> int:
    """Delete them, and say how many."""
    return sum(digest.in_parallel(keys, lambda key: delete_one(s3, bucket, key)))


def delete_one(s3: Any, bucket: str, key: str, **version: str) -> int:
    """Delete an object, or this version of it (`VersionId`). Returns 1. Raises StoreError."""
    with access.doing(f"delete {'a version of ' * bool(version)}{key} in {bucket}"):
        s3.delete_object(Bucket=bucket, Key=key, **version)
    return 1


def delete_others(s3: Any, bucket: str, known: Known) -> int:
    """Delete what is not known."""
    return delete(s3, bucket, (e.key for e in listing.protected(s3, bucket) if not known.holds(bucket, e.key)))


def wipe(s3: Any, bucket: str, wanted: Callable[[str], bool], prefix: str = "") -> None:
    """Delete the objects of these keys: of each all versions and delete markers, where the bucket has any."""
    if not versions.kept(s3, bucket):
        delete(s3, bucket, (entry.key for entry in listing.entries(s3, bucket, prefix) if wanted(entry.key)))
        return
    pages = listing.version_pages(s3, bucket, prefix)
    found = (item for page in pages for item in listing.on_page(page) if wanted(item["Key"]))
    for _ in digest.in_parallel(found, lambda item: delete_one(s3, bucket, item["Key"], VersionId=item["VersionId"])):
        pass


def difference(s3: Any, bucket: str, header: Header, sha256: str, *, listed: bool, entry: Entry | None = None) -> str:
    """Read the object whole, and say in words how it differs from this; empty when it does not. `entry`: this version, not the current one.

    `listed`: its access control list, too.
    """
    found: Header | None = None
    seen = ""
    for event in content.read(s3, bucket, entry or Entry(header.key), listed=listed):
        if isinstance(event, Header):
            found = event
        elif isinstance(event, End):
            seen = event.sha256
    if found is None or not seen:
        return "is not there"
    if seen != sha256:
        return "has another content"
    wanted = header if listed else without_list(header)
    return _properties(replace(found, age=wanted.age), wanted)


_COMPARED = {
    "another content type": "content_type",
    "other metadata": "metadata",
    "other tags": "tags",
    "other headers": "properties",
    "another storage class": "storage_class",
    "another access control list": "grants",
}


def _properties(found: Header, wanted: Header) -> str:
    other = [words for words, name in _COMPARED.items() if getattr(found, name) != getattr(wanted, name)]
    if not other and found.canonical() != wanted.canonical():
        other = ["other properties"]
    return f"has {' and '.join(other)}" if other else ""


class _Object:
    """What the target refuses goes nowhere."""

    def __init__(self, s3: Any, bucket: str, header: Header) -> None:
        self.header, self._refusal = header, ""
        self._upload: upload.Upload | None = None
        try:
            self._upload = upload.begin(s3, bucket, header)
        except upload.Refused as refusal:
            self._refusal = str(refusal)

    def add(self, piece: bytes) -> None:
        try:
            if self._upload:
                self._upload.add(piece)
        except upload.Refused as refusal:
            self._refusal = str(refusal)
            self.abandon()
            self._upload = None

    def finish(self, sha256: str) -> Arrived:
        try:
            lacks = self._upload.finish(sha256) if self._upload else ""
        except upload.Refused as refusal:
            self._refusal, lacks = str(refusal), ""
        except BaseException:
            self.abandon()
            raise
        return Arrived(self.header, sha256, self._refusal, lacks)

    def abandon(self) -> None:
        if self._upload:
            self._upload.abandon()


def _require(condition: bool) -> None:
    if not condition:
        raise errors.IntegrityError("A pack of objects is cut or out of order; do not trust this backup, use another one.")
