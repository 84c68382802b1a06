"""A bucket is emptied by mistake."""

from dataclasses import dataclass
from typing import Any

from drplatform.faults import _files
from drplatform.model import ports


@dataclass(frozen=True)
class BucketEmptied(_files.OnObjects):
    """The objects of a bucket are deleted, all of them or a share, by default in the bucket that the clients write to."""

    kind = "bucket-emptied"

    def hurt(self, scene: ports.Scene, s3: Any, bucket: str, key: str) -> None:
        s3.delete_object(Bucket=bucket, Key=key)


FAULT = BucketEmptied
