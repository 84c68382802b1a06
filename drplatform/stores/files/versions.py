"""What there is in a bucket that keeps versions: all versions of each object together, the oldest first, so that written in this order they
stand in the target as in the source.

S3 lets nobody choose the name or the time of a version; a restored one has its own. Delete markers are no content: that an object was
deleted comes back, that it had been deleted before it was written again does not.
"""

import itertools
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from drplatform.model import errors
from drplatform.stores.files import access, listing
from drplatform.stores.files.content import Header
from drplatform.stores.files.index import Known, Record
from drplatform.stores.files.listing import Entry

Wanted = Callable[[Entry], bool]


def kept(s3: Any, bucket: str) -> bool:
    """Whether the bucket keeps versions, or once did. Raises StoreError."""
    try:
        with access.doing(f"read the versioning of the bucket {bucket}"):
            return bool(s3.get_bucket_versioning(Bucket=bucket).get("Status"))
    except errors.StoreError as error:
        if access.is_unknown(error.__cause__) or access.is_forbidden(error.__cause__):
            return False
        raise


def objects(s3: Any, bucket: str, wanted: Wanted) -> Iterator[list[Entry]]:
    """The versions of each object, the oldest first. Any number of objects in bounded memory.

    A server may leave versions out of their listing (SeaweedFS 4.48 those of an object that shares its name with a directory, on page
    borders): where the plain listing shows such an object, or one that is not in the other, it is asked for by name.
    """
    with Known() as known:
        known.add(bucket, (_record(entry) for entry in listing.versions(s3, bucket) if wanted(entry)))
        for entry, shared in _with_next(filter(wanted, listing.entries(s3, bucket))):
            listed = [_entry(record) for record in known.versions(bucket, entry.key)]
            for each in listed:
                known.remove(bucket, each.key, each.age)
            found = _asked(s3, bucket, entry) if shared or not listed else listed
            yield found[::-1]
        for _, records in itertools.groupby(known.records(bucket), lambda record: record.header.key):
            yield [_entry(record) for record in records][::-1]


def entries(s3: Any, bucket: str, wanted: Wanted) -> Iterator[Entry]:
    return (entry for versions in objects(s3, bucket, wanted) for entry in versions)


def older(s3: Any, bucket: str) -> Iterator[list[Entry]]:
    """Of each object that has some, its versions but the current one, the oldest first."""
    for versions in objects(s3, bucket, listing.is_protected):
        if found := [entry for entry in versions if entry.age]:
            yield found


def any_older(s3: Any, bucket: str) -> bool:
    """Whether the bucket holds versions that are not current, of the users' objects."""
    return any(entry.age and listing.is_protected(entry) for entry in listing.versions(s3, bucket))


def _asked(s3: Any, bucket: str, entry: Entry) -> list[Entry]:
    """All versions of this one; itself when it is gone meanwhile."""
    found = listing.versions(s3, bucket, entry.key, "/")
    return list(itertools.takewhile(lambda each: each.key == entry.key, found)) or [entry]


def _with_next(entries: Iterator[Entry]) -> Iterator[tuple[Entry, bool]]:
    """Each, and whether the next one stands in a directory of its name."""
    last: Entry | None = None
    for entry in entries:
        if last:
            yield last, entry.key.startswith(f"{last.key}/")
        last = entry
    if last:
        yield last, False


def _record(entry: Entry) -> Record:
    modified = datetime.fromtimestamp(entry.modified, UTC).isoformat()
    return Record(Header(entry.key, entry.size, entry.etag, modified, "", version=entry.version, age=entry.age), "", "")


def _entry(record: Record) -> Entry:
    header = record.header
    return Entry(header.key, header.size, header.etag, datetime.fromisoformat(header.modified).timestamp(), header.version, header.age)
