"""The form in which objects travel in a backup.

A part `content/<bucket>/<n>` is a run of frames: the length of a header (4 bytes, big-endian), the header (JSON), and so many bytes of content as it says. An
object is one frame, or several in order where it is large; each repeats the object's head (key, size, content_type, metadata, tags) and tells its own
`offset`, `length`, and with the `last` one the `sha256` of the whole content. No frame crosses a block, and no object a part.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from drplatform.model import errors
from drplatform.model.ports import BLOCK_BYTES
from drplatform.stores.files.buckets import MISSING, Buckets, Head, code, head, told

FRAME_BYTES = BLOCK_BYTES // 2
ATTEMPTS = 5


@dataclass(frozen=True)
class Frame:
    head: Head
    offset: int
    content: bytes
    last: bool
    sha256: str


def pack(frame: Frame) -> bytes:
    fields = {**vars(frame.head), "offset": frame.offset, "length": len(frame.content), "last": frame.last, "sha256": frame.sha256}
    header = json.dumps(fields, separators=(",", ":")).encode()
    return len(header).to_bytes(4) + header + frame.content


def unpack(block: bytes) -> Iterator[Frame]:
    """Raises IntegrityError for what is no run of frames."""
    at = 0
    try:
        while at < len(block):
            begin = at + 4 + int.from_bytes(block[at : at + 4])
            fields = json.loads(block[at + 4 : begin])
            at = begin + fields["length"]
            content = block[begin:at]
            if len(content) != fields["length"]:
                raise ValueError("a frame is cut off")
            yield Frame(Head(*(fields[n] for n in Head.__dataclass_fields__)), fields["offset"], content, fields["last"], fields["sha256"])
    except (ValueError, KeyError, TypeError) as error:
        raise errors.IntegrityError(f"A pack of objects cannot be read ({error}); do not trust this backup.") from error


def blocks(buckets: Buckets, bucket: str, keys: list[str]) -> Iterator[bytes]:
    """The objects as blocks of frames. An object that was deleted since it was listed is left out."""
    held, size = list[bytes](), 0
    for key in keys:
        for frame in _frames(buckets, bucket, key):
            packed = pack(frame)
            if held and size + len(packed) > BLOCK_BYTES:
                yield b"".join(held)
                held, size = [], 0
            held.append(packed)
            size += len(packed)
    if held:
        yield b"".join(held)


def _frames(buckets: Buckets, bucket: str, key: str) -> Iterator[Frame]:
    """The frames of one state of the object: it is read in one response, which serves one state."""
    client = buckets.client()
    with told(f"read {bucket}/{key}"):
        found = _get(client, bucket, key)
        if found is None:
            return
        response, its_head = found
        yield from _cut(its_head, response["Body"], bucket)


def _get(client: Any, bucket: str, key: str) -> tuple[dict[str, Any], Head] | None:
    """An open response and the head that belongs to it: tags are read before and after, so that both are of one state."""
    for _ in range(ATTEMPTS):
        try:
            response = client.get_object(Bucket=bucket, Key=key)
            its_head = head(client, bucket, key, response)
            if client.head_object(Bucket=bucket, Key=key)["ETag"] == response["ETag"]:
                return response, its_head
            response["Body"].close()
        except ClientError as error:
            if code(error) in MISSING:
                return None
            raise
    raise errors.StoreError(f"{bucket}/{key} changes faster than it can be read; back it up when it is calmer.")


def _cut(its_head: Head, body: Any, bucket: str) -> Iterator[Frame]:
    sha, offset = hashlib.sha256(), 0
    while True:
        content = body.read(FRAME_BYTES)
        sha.update(content)
        last = offset + len(content) == its_head.size
        if not content and not last:
            raise errors.StoreError(f"{bucket}/{its_head.key} ended after {offset} of {its_head.size} bytes; try again.")
        yield Frame(its_head, offset, content, last, sha.hexdigest() if last else "")
        offset += len(content)
        if last:
            return
