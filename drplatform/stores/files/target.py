"""Which buckets may be restored into: those that nobody else writes to. Looks, and changes nothing.

S3 tells nobody who uses a bucket, and one may be in use and empty, as one is whose objects are fetched and deleted at once. So it is watched
for what comes and goes. Whether it is empty is asked elsewhere.
"""

import itertools
import threading
from collections.abc import Iterator
from typing import Any

from drplatform.model import errors
from drplatform.model.clock import Clock
from drplatform.stores.files import access, listing, versions
from drplatform.stores.files.listing import Entry

WATCHED_SECONDS = 1.0
_EVERY_SECONDS = 0.05
_SHOWN = 1000
"""So many objects of a bucket are compared, and one page of its versions and uploads; more are no empty bucket's."""
_Shown = tuple[str, str, str, str]
"""Bucket, key, what of it, and which."""


def refuse_live(s3: Any, buckets: tuple[str, ...], clock: Clock) -> None:
    """Raises TargetRefused when objects, versions or unfinished uploads come or go meanwhile. What is ours does not count, but marks do."""
    kept = {bucket for bucket in buckets if versions.kept(s3, bucket)}

    def look() -> set[_Shown]:
        return {shown for bucket in buckets for shown in _shown(s3, bucket, bucket in kept)}

    before, until, never = look(), clock.monotonic() + WATCHED_SECONDS, threading.Event()
    while clock.monotonic() < until:
        clock.wait(never, _EVERY_SECONDS)
        if changed := sorted(look() ^ before):
            bucket, key, what, _ = changed[0]
            raise errors.TargetRefused(
                f"The target is in use: while it was watched, {what} of {bucket}/{key} came or went; stop who writes there, or restore into "
                "buckets of their own. Nothing was touched."
            )


def _shown(s3: Any, bucket: str, kept: bool) -> Iterator[_Shown]:
    for entry in itertools.islice(listing.protected(s3, bucket), _SHOWN):
        yield bucket, entry.key, "the content", f"{entry.modified} {entry.etag}"
    for key, version in _versions(s3, bucket) if kept else ():
        yield bucket, key, "a version", version
    for key, upload in _uploads(s3, bucket):
        yield bucket, key, "an upload", upload


def _versions(s3: Any, bucket: str) -> Iterator[tuple[str, str]]:
    """Of one page, and of the users': delete markers, too, which stay when all else is gone."""
    for item in listing.on_page(next(listing.version_pages(s3, bucket))):
        if listing.is_protected(Entry(item["Key"])):
            yield item["Key"], item["VersionId"]


def _uploads(s3: Any, bucket: str) -> Iterator[tuple[str, str]]:
    """Large objects on their way; nothing where the server or the account's rights do not show them."""
    try:
        with access.doing(f"list the uploads to the bucket {bucket}"):
            page = s3.list_multipart_uploads(Bucket=bucket)
    except errors.StoreError as error:
        if access.is_unknown(error.__cause__) or access.is_forbidden(error.__cause__):
            return
        raise
    yield from ((item["Key"], item["UploadId"]) for item in page.get("Uploads", ()))
