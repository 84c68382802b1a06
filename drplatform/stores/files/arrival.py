"""Objects on their way from packs into a bucket: each is verified before it becomes visible, and what breaks off leaves nothing behind."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from drplatform.model import errors
from drplatform.stores.files import access, content, digest, listing, upload
from drplatform.stores.files.content import End, Event, Header, Void
from drplatform.stores.files.index import Known


@dataclass(frozen=True)
class Arrived:
    """An object whose content was all there. `refusal` says why the target did not take it; empty when it did."""

    header: Header
    sha256: str
    refusal: str


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
    return sum(digest.in_parallel(keys, lambda key: _delete(s3, bucket, key)))


def delete_others(s3: Any, bucket: str, known: Known) -> int:
    """Delete what is not known."""
    return delete(s3, bucket, (e.key for e in listing.protected(s3, bucket) if not known.holds(bucket, e.key)))


def difference(s3: Any, bucket: str, header: Header, sha256: str) -> str:
    """Read the object whole, and say in words how it differs from this; empty when it does not."""
    found: Header | None = None
    seen = ""
    for event in content.read(s3, bucket, header.key):
        if isinstance(event, Header):
            found = event
        elif isinstance(event, End):
            seen = event.sha256
    if found is None or not seen:
        return "is not there"
    if seen != sha256:
        return "has another content"
    return "" if found.canonical() == header.canonical() else "has another content type, other metadata or tags"


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
            if self._upload:
                self._upload.finish(sha256)
        except upload.Refused as refusal:
            self._refusal = str(refusal)
        except BaseException:
            self.abandon()
            raise
        return Arrived(self.header, sha256, self._refusal)

    def abandon(self) -> None:
        if self._upload:
            self._upload.abandon()


def _delete(s3: Any, bucket: str, key: str) -> int:
    with access.doing(f"delete {key} in {bucket}"):
        s3.delete_object(Bucket=bucket, Key=key)
    return 1


def _require(condition: bool) -> None:
    if not condition:
        raise errors.IntegrityError("A pack of objects is cut or out of order; do not trust this backup, use another one.")
