"""The format of content parts: objects one after another as frames.

A frame is one byte of kind, four bytes of length (big-endian), and the payload:
    H   header of an object: JSON, the fields of content.Header
    D   the next piece of its content
    E   its end: the SHA-256 of the content, 32 bytes
    V   void: the object of the last H is to be forgotten; empty
An object is H D* E, or H D* V. A block holds whole frames; an object may span blocks, never parts.
"""

import json
import struct
from collections.abc import Iterable, Iterator

from drplatform.model import errors, ports
from drplatform.stores.files.content import End, Event, Header, Void, encoded

BLOCK_BYTES = ports.BLOCK_BYTES // 2
"""Half of what others take: at both ends several packs are on their way at once, and a large object is held in parts as well."""
_HEAD = struct.Struct(">cI")


def _frame(event: Event) -> tuple[bytes, bytes]:
    """One frame: its head, and its payload, which may be large and is not copied."""
    match event:
        case Header():
            kind, payload = b"H", encoded(event.to_json()).encode()
        case End():
            kind, payload = b"E", bytes.fromhex(event.sha256)
        case Void():
            kind, payload = b"V", b""
        case _:
            kind, payload = b"D", event
    return _HEAD.pack(kind, len(payload)), payload


def blocks(events: Iterable[Event]) -> Iterator[bytes]:
    """The events as blocks of at most BLOCK_BYTES."""
    held, size = list[bytes](), 0
    for frame in map(_frame, events):
        length = _HEAD.size + len(frame[1])
        if held and size + length > BLOCK_BYTES:
            yield b"".join(held)
            held, size = [], 0
        held += frame
        size += length
    if held:
        yield b"".join(held)


def events(blocks: Iterable[bytes]) -> Iterator[Event]:
    """Back again. Raises IntegrityError when a block is not of this format."""
    for block in blocks:
        offset = 0
        while offset < len(block):
            if len(block) - offset < _HEAD.size:
                raise _damaged("a frame is cut")
            kind, length = _HEAD.unpack_from(block, offset)
            begin = offset + _HEAD.size
            offset = begin + length
            if offset > len(block):
                raise _damaged("a frame is cut")
            yield _decode(kind, block[begin:offset])


def _decode(kind: bytes, payload: bytes) -> Event:
    match kind:
        case b"D":
            return payload
        case b"E":
            return End(payload.hex())
        case b"V":
            return Void()
        case b"H":
            return Header.from_json(_document(payload))
    raise _damaged(f"it has a frame of the unknown kind {kind!r}")


def _document(payload: bytes) -> object:
    try:
        return json.loads(payload)
    except ValueError as error:
        raise _damaged(str(error)) from error


def _damaged(why: str) -> errors.IntegrityError:
    return errors.IntegrityError(f"A pack of objects cannot be read: {why}; do not trust this backup, use another one.")
