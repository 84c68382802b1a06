"""Names in a bucket: what is the users', what is ours, and listings of any length in bounded memory."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from drplatform.stores.files import access

PRIVATE = ".drplatform/"
"""Keys that begin so are ours."""
MARKS = PRIVATE + "marks/"
PROBE = PRIVATE + "probe"
IDENTITY = PRIVATE + "identity"
RESTORING = PRIVATE + "restoring"
MARKS_SUFFIX = "#marks"
VERSIONS_SUFFIX = "#versions"
_COUNTED = 1000


@dataclass(frozen=True)
class Entry:
    """One object as a listing shows it. `modified` in seconds since 1970, by the server's clock.

    `version`: which one, where the bucket keeps versions and was asked for them. `age`: how many are newer; the current one has 0.
    """

    key: str
    size: int = 0
    etag: str = ""
    modified: float = 0.0
    version: str = ""
    age: int = 0


def entries(s3: Any, bucket: str, prefix: str = "") -> Iterator[Entry]:
    """All objects, in the server's order; while one page is used the next one is asked for. Raises StoreError."""
    page = _page(s3, bucket, prefix)
    if not page.get("NextContinuationToken"):
        yield from _shown(page)
        return
    with ThreadPoolExecutor(1, thread_name_prefix="list") as pool:
        while token := page.get("NextContinuationToken"):
            coming = pool.submit(_page, s3, bucket, prefix, ContinuationToken=token)
            yield from _shown(page)
            page = coming.result()
        yield from _shown(page)


def _page(s3: Any, bucket: str, prefix: str, **more: str) -> dict[str, Any]:
    with access.doing(f"list the bucket {bucket}"):
        page: dict[str, Any] = s3.list_objects_v2(Bucket=bucket, Prefix=prefix, **more)
        return page


def _shown(page: dict[str, Any]) -> Iterator[Entry]:
    return (Entry(item["Key"], item["Size"], item["ETag"], item["LastModified"].timestamp()) for item in page.get("Contents", ()))


def versions(s3: Any, bucket: str, prefix: str = "", delimiter: str = "") -> Iterator[Entry]:
    """All versions of all objects, of each key the newest first, delete markers left out. Of a deleted object the newest has age 1.

    With a delimiter, only of keys that have none of it after the prefix.
    """
    key, age = None, 0
    for page in version_pages(s3, bucket, prefix, delimiter):
        for item in page.get("Versions", ()):
            age = age + 1 if item["Key"] == key else 0 if item["IsLatest"] else 1
            key = item["Key"]
            yield Entry(key, item["Size"], item["ETag"], item["LastModified"].timestamp(), item["VersionId"], age)


def version_pages(s3: Any, bucket: str, prefix: str = "", delimiter: str = "") -> Iterator[dict[str, Any]]:
    """The server's answers to a listing of versions, delete markers among them."""
    more: dict[str, str] = {"Delimiter": delimiter} if delimiter else {}
    while True:
        with access.doing(f"list the versions in the bucket {bucket}"):
            page = s3.list_object_versions(Bucket=bucket, Prefix=prefix, **more)
        yield page
        if not page.get("IsTruncated"):
            return
        markers = {"Delimiter": delimiter, "KeyMarker": page["NextKeyMarker"], "VersionIdMarker": page.get("NextVersionIdMarker", "")}
        more = {name: value for name, value in markers.items() if value}


def on_page(page: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    """The versions and the delete markers that one of these answers shows."""
    return (*page.get("Versions", ()), *page.get("DeleteMarkers", ()))


def protected(s3: Any, bucket: str, prefix: str = "") -> Iterator[Entry]:
    """What belongs into a backup: the users' objects and the ledger's marks."""
    return (entry for entry in entries(s3, bucket, prefix) if is_protected(entry))


def is_protected(entry: Entry) -> bool:
    """Whether it belongs into a backup. Of what is ours, only the current marks."""
    return not entry.key.startswith(PRIVATE) or (entry.key.startswith(MARKS) and not entry.age)


def reference(s3: Any, bucket: str) -> Iterator[Entry]:
    """The users' objects."""
    return (entry for entry in entries(s3, bucket) if is_reference(entry))


def is_reference(entry: Entry) -> bool:
    """Whether it is the users'."""
    return not entry.key.startswith(PRIVATE)


def digest_name(bucket: str, key: str, age: int = 0) -> str:
    """Where an object is counted: marks have a digest of their own, and so have older versions."""
    if age:
        return bucket + VERSIONS_SUFFIX
    return bucket + MARKS_SUFFIX if key.startswith(MARKS) else bucket


def occupants(s3: Any, bucket: str) -> tuple[str, ...]:
    """`uploads: 12 objects`, or nothing. Does not count further than to a thousand."""
    count = 0
    for _ in protected(s3, bucket):
        count += 1
        if count > _COUNTED:
            return (f"{bucket}: more than {_COUNTED} objects",)
    return (f"{bucket}: {count} object{'s' * (count > 1)}",) if count else ()
