"""A program overwrites objects with nonsense."""

from dataclasses import dataclass
from typing import Any

from drplatform.faults import _files
from drplatform.model import ports


@dataclass(frozen=True)
class ObjectsOverwritten(_files.OnObjects):
    """The objects of a bucket are overwritten with nonsense of the same size, all of them or a share."""

    kind = "objects-overwritten"

    def hurt(self, scene: ports.Scene, s3: Any, bucket: str, key: str) -> None:
        size = len(_files.read(s3, bucket, key))
        s3.put_object(Bucket=bucket, Key=key, Body=(b"overwritten\n" * (size // 12 + 1))[: max(size, 1)])


FAULT = ObjectsOverwritten
