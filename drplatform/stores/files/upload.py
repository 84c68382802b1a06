"""Writing one object into the target: whole when it is small, in parts as they come when it is large; never a byte of it visible unverified."""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol
from urllib.parse import urlencode

from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from drplatform.model import errors
from drplatform.stores.files import access, grants
from drplatform.stores.files.content import STANDARD, Header

MULTIPART_BYTES = 16 * 1024 * 1024
"""Objects larger than this go in parts."""
PART_BYTES = 8 * 1024 * 1024
_PARTS = 9_000
"""S3 takes 10,000 parts an object."""


class Refused(Exception):
    """The target does not take this object; the words say which and why."""


class Upload(Protocol):
    """Order: add*, then finish or abandon. Memory: one part."""

    def add(self, piece: bytes) -> None: ...

    def finish(self, sha256: str) -> str:
        """Make the object visible; says in words what the target lacks of it. Raises IntegrityError, and makes nothing visible, when the
        content is not what the backup says."""

    def abandon(self) -> None:
        """Leave nothing behind."""


def begin(s3: Any, bucket: str, header: Header) -> Upload:
    kind = Parts if header.size > MULTIPART_BYTES else Whole
    return kind(s3, bucket, header)


def put(s3: Any, bucket: str, header: Header, content: bytes) -> None:
    """Write one object that is at hand. Raises StoreError."""
    try:
        one = begin(s3, bucket, header)
        one.add(content)
        one.finish(hashlib.sha256(content).hexdigest())
    except Refused as refusal:
        raise errors.StoreError(f"Could not write {refusal}") from refusal


class _Checked:
    """Counts and digests what comes."""

    def __init__(self, s3: Any, bucket: str, header: Header) -> None:
        self._s3, self._bucket, self._header = s3, bucket, header
        self._sha256, self._size = hashlib.sha256(), 0
        self._held = bytearray()

    def _take(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > self._header.size:
            raise self._wrong()
        self._sha256.update(piece)
        self._held += piece

    def _check(self, sha256: str) -> None:
        if self._size != self._header.size or self._sha256.hexdigest() != sha256:
            raise self._wrong()

    def _wrong(self) -> errors.IntegrityError:
        return errors.IntegrityError(f"The content of {self._header.key} is not what its backup says; do not trust this backup.")

    def _place(self) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": self._header.key}

    def _listed(self, answer: Mapping[str, Any]) -> str:
        """The access control list comes after the object: until then it is its owner's alone."""
        if not self._header.grants:
            return ""
        version = {"VersionId": answer["VersionId"]} if answer.get("VersionId") else {}
        return grants.give_object(self._s3, {**self._place(), **version}, self._header.grants)


class Whole(_Checked):
    """An object held in memory until it is verified."""

    def add(self, piece: bytes) -> None:
        self._take(piece)

    def finish(self, sha256: str) -> str:
        self._check(sha256)
        with _writing(self._header.key):
            answer = self._s3.put_object(Body=bytes(self._held), **self._place(), **_properties(self._header))
        return self._listed(answer)

    def abandon(self) -> None:
        self._held.clear()


class Parts(_Checked):
    """A multipart upload, completed when all of it is verified."""

    def __init__(self, s3: Any, bucket: str, header: Header) -> None:
        super().__init__(s3, bucket, header)
        self._part_bytes = max(PART_BYTES, -(-header.size // _PARTS))
        self._parts: list[dict[str, Any]] = []
        with _writing(header.key):
            self._id = s3.create_multipart_upload(**self._place(), **_properties(header))["UploadId"]

    def add(self, piece: bytes) -> None:
        self._take(piece)
        while len(self._held) >= self._part_bytes:
            with memoryview(self._held) as held:
                part = bytes(held[: self._part_bytes])
            del self._held[: self._part_bytes]
            self._send(part)

    def finish(self, sha256: str) -> str:
        self._check(sha256)
        if self._held:
            self._send(bytes(self._held))
        with _writing(self._header.key):
            answer = self._s3.complete_multipart_upload(UploadId=self._id, MultipartUpload={"Parts": self._parts}, **self._place())
        return self._listed(answer)

    def abandon(self) -> None:
        with access.doing(f"abort the upload of {self._header.key}"):
            self._s3.abort_multipart_upload(UploadId=self._id, **self._place())

    def _send(self, part: bytes) -> None:
        number = len(self._parts) + 1
        with _writing(self._header.key):
            answer = self._s3.upload_part(UploadId=self._id, PartNumber=number, Body=part, **self._place())
        self._parts.append({"PartNumber": number, "ETag": answer["ETag"]})


@contextmanager
def _writing(key: str) -> Iterator[None]:
    """What the target will never take is Refused, all else that fails a StoreError."""
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        if isinstance(error, ParamValidationError) or access.status(error) == 400:
            raise Refused(f"{key}: {' '.join(str(error).split())}") from error
        raise errors.StoreError(f"Could not write {key}: {error}") from error


def _properties(header: Header) -> dict[str, Any]:
    found: dict[str, Any] = {**header.properties, "Metadata": dict(header.metadata)}
    if header.content_type:
        found["ContentType"] = header.content_type
    if header.tags:
        found["Tagging"] = urlencode(header.tags)
    if header.storage_class != STANDARD:
        found["StorageClass"] = header.storage_class
    return found
