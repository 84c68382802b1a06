"""After a chain of backups was restored: versions that the source had let go in between (a lifecycle does it) go from the target, too."""

from typing import Any

from drplatform.stores.files import arrival, grants, versions
from drplatform.stores.files.index import Known


def prune(s3: Any, bucket: str, wanted: Known) -> None:
    """Delete older versions that are not wanted; those wanted stand in the target in their order. Raises StoreError."""
    listed = grants.in_use(s3, bucket)
    for found in versions.older(s3, bucket):
        keep = [record for record in wanted.versions(bucket, found[0].key) if record.header.age][::-1]
        if len(keep) == len(found):
            continue
        for entry in found:
            if keep and not arrival.difference(s3, bucket, keep[0].header, keep[0].sha256, listed=listed, entry=entry):
                keep.pop(0)
            else:
                arrival.delete_one(s3, bucket, entry.key, VersionId=entry.version)
