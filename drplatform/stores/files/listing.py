"""Names in a bucket: what is the users', what is ours, and listings of any length in bounded memory."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from drplatform.stores.files import access

PRIVATE = ".drplatform/"
"""Keys that begin so are ours."""
MARKS = PRIVATE + "marks/"
PROBE = PRIVATE + "probe"
IDENTITY = PRIVATE + "identity"
MARKS_SUFFIX = "#marks"
_COUNTED = 1000


@dataclass(frozen=True)
class Entry:
    """One object as a listing shows it. `modified` in seconds since 1970, by the server's clock."""

    key: str
    size: int
    etag: str
    modified: float


def entries(s3: Any, bucket: str, prefix: str = "") -> Iterator[Entry]:
    """All objects, in the server's order, a page at a time. Raises StoreError."""
    more: dict[str, str] = {}
    while True:
        with access.doing(f"list the bucket {bucket}"):
            page = s3.list_objects_v2(Bucket=bucket, Prefix=prefix, **more)
        yield from (Entry(item["Key"], item["Size"], item["ETag"], item["LastModified"].timestamp()) for item in page.get("Contents", ()))
        if not page.get("NextContinuationToken"):
            return
        more = {"ContinuationToken": page["NextContinuationToken"]}


def protected(s3: Any, bucket: str, prefix: str = "") -> Iterator[Entry]:
    """What belongs into a backup: the users' objects and the ledger's marks."""
    return (entry for entry in entries(s3, bucket, prefix) if not entry.key.startswith(PRIVATE) or entry.key.startswith(MARKS))


def reference(s3: Any, bucket: str) -> Iterator[Entry]:
    """The users' objects."""
    return (entry for entry in entries(s3, bucket) if not entry.key.startswith(PRIVATE))


def digest_name(bucket: str, key: str) -> str:
    """Where an object is counted: marks have a digest of their own."""
    return bucket + MARKS_SUFFIX if key.startswith(MARKS) else bucket


def occupants(s3: Any, bucket: str) -> tuple[str, ...]:
    """`uploads: 12 objects`, or nothing. Does not count further than to a thousand."""
    count = 0
    for _ in protected(s3, bucket):
        count += 1
        if count > _COUNTED:
            return (f"{bucket}: more than {_COUNTED} objects",)
    return (f"{bucket}: {count} object{'s' * (count > 1)}",) if count else ()
