"""A program that was broken off has left objects cut short."""

from dataclasses import dataclass
from typing import Any

from drplatform.faults import _files
from drplatform.model import ports


@dataclass(frozen=True)
class ObjectsTruncated(_files.OnObjects):
    """The objects of a bucket lose their second half, all of them or a share. What is empty becomes one byte."""

    kind = "objects-truncated"

    def hurt(self, scene: ports.Scene, s3: Any, bucket: str, key: str) -> None:
        content = _files.read(s3, bucket, key)
        s3.put_object(Bucket=bucket, Key=key, Body=content[: len(content) // 2] if content else b"\0")


FAULT = ObjectsTruncated
