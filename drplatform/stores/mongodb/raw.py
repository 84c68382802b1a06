"""BSON without decoding it: cut blocks into documents, find fields, put documents together from parts of others.

Format: bsonspec.org, version 1.1.
"""

import struct
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate
from operator import methodcaller
from typing import Any, NamedTuple

import bson
from bson import _array_of_documents_to_buffer as _joined  # in C; what pymongo's own raw batches use

from drplatform.model import errors

_INT = struct.Struct("<i")
_LONG = struct.Struct("<q")
_STAMP = struct.Struct("<II")
_FIXED = {0x01: 8, 0x06: 0, 0x07: 12, 0x08: 1, 0x09: 8, 0x0A: 0, 0x10: 4, 0x11: 8, 0x12: 8, 0x13: 16, 0x7F: 0, 0xFF: 0}
_SIZED = {0x02: 4, 0x03: 0, 0x04: 0, 0x05: 5, 0x0C: 16, 0x0D: 4, 0x0E: 4, 0x0F: 0}
_REGEX = 0x0B
_LONGEST_NAME = 64
_ID_FIRST = b"_id\0"
_STARTS_WITH_ID = methodcaller("startswith", _ID_FIRST, 5)
DOCUMENT, ARRAY, TIMESTAMP = 0x03, 0x04, 0x11
_ARRAY_ENDS = 5
"""Bytes of an array around its elements: its size before them, and its end."""


class Element(NamedTuple):
    """A field where it lies: type, begin of the element, begin of its value, end of both."""

    type: int
    begin: int
    value: int
    end: int


def documents(block: bytes) -> Iterator[bytes]:
    """Each document of a block of concatenated documents. Raises IntegrityError when they do not fill it exactly."""
    return iter(split(block))


def split(block: bytes) -> list[bytes]:
    """The same at once. There may be hundreds of thousands, so each takes no more steps than it must."""
    found, at, end, size_at = list[bytes](), 0, len(block), _INT.unpack_from
    take = found.append
    try:
        while at < end:
            after = at + size_at(block, at)[0]
            if after < at + 5:
                break
            take(block[at:after])
            at = after
    except struct.error:
        at = -1
    if at != end:
        raise errors.IntegrityError("A block of this backup is not a sequence of BSON documents; do not trust it.")
    return found


def runs(block: bytes, documents: list[bytes], most_bytes: int, most_documents: int) -> Iterator[tuple[memoryview, list[bytes], bool]]:
    """A block, of these documents, in stretches of whole ones: its bytes where they lie, its documents, and whether each begins with its `_id`.

    A stretch has more bytes only when it is a single document.
    """
    view, ends = memoryview(block), list(accumulate(map(len, documents)))
    begin = first = 0
    while first < len(documents):
        last = max(first + 1, min(bisect_right(ends, begin + most_bytes), first + most_documents))
        some = documents[first:last]
        yield view[begin : ends[last - 1]], some, all(map(_STARTS_WITH_ID, some))
        begin, first = ends[last - 1], last


def fields(document: bytes) -> dict[bytes, Element]:
    """The top-level fields by name (of equal names, the last). Raises IntegrityError when it is no BSON document."""
    found, at, end = dict[bytes, Element](), 4, len(document) - 1
    try:
        while at < end:
            kind = document[at]
            value = document.index(b"\0", at + 1) + 1
            size = _FIXED.get(kind)
            after = value + (size if size is not None else _variable(document, kind, value))
            found[document[at + 1 : value - 1]] = Element(kind, at, value, after)
            at = after
    except (KeyError, ValueError, struct.error, IndexError) as error:
        raise errors.IntegrityError("A document of this backup is not BSON; do not trust it.") from error
    if at != end:
        raise errors.IntegrityError("A document of this backup is not BSON; do not trust it.")
    return found


def _variable(document: bytes, kind: int, value: int) -> int:
    if kind == _REGEX:
        return document.index(b"\0", document.index(b"\0", value) + 1) + 1 - value
    return _SIZED[kind] + int(_INT.unpack_from(document, value)[0])


def value(document: bytes, element: Element) -> Any:
    """One field, decoded."""
    return bson.decode(assemble([document[element.begin : element.end]])).popitem()[1]


def id_of(document: bytes) -> bytes | None:
    """The encoded `_id`, with its type; None when there is none."""
    found = fields(document).get(b"_id")
    return document[found.begin : found.end] if found else None


def text(document: bytes, element: Element) -> str:
    return document[element.value + 4 : element.end - 1].decode()


def stamp(document: bytes, element: Element) -> tuple[int, int]:
    """A timestamp as (seconds, ordinal)."""
    ordinal, seconds = _STAMP.unpack_from(document, element.value)
    return seconds, ordinal


def changes_when_written(document: bytes, suspect: bool = True) -> bool:
    """Whether an insert command or a replacing update of the server would store something else.

    They move `_id` to the front, and put the time into empty timestamps at the top level. `suspect` False: it is known to hold none.
    """
    if not _STARTS_WITH_ID(document):
        return True
    return suspect and any(e.type == TIMESTAMP and stamp(document, e) == (0, 0) for e in fields(document).values())


def assemble(elements: Iterable[bytes]) -> bytes:
    """A document from encoded elements."""
    body = b"".join(elements)
    return _INT.pack(len(body) + 5) + body + b"\0"


def array(name: bytes, items: Iterable[bytes]) -> bytes:
    """An element that is an array of documents."""
    return b"\x04" + name + b"\0" + assemble(b"\x03%d\0%b" % (index, item) for index, item in enumerate(items))


def string(name: bytes, content: str) -> bytes:
    """An element that is a string."""
    encoded = content.encode() + b"\0"
    return b"\x02" + name + b"\0" + _INT.pack(len(encoded)) + encoded


def timestamp(name: bytes, stamp: tuple[int, int]) -> bytes:
    """An element that is a timestamp of (seconds, ordinal)."""
    seconds, ordinal = stamp
    return b"\x11" + name + b"\0" + _STAMP.pack(ordinal, seconds)


def elements(document: Mapping[str, Any]) -> bytes:
    """The elements of a document, encoded, to assemble with others."""
    encoded: bytes = bson.encode(document)
    return encoded[4:-1]


class Batch(NamedTuple):
    """What a cursor gave: its number (0 when it has ended) and namespace, concatenated documents, how many, and the token (a document) to
    go on after them, which is empty where none was asked for."""

    cursor: int
    namespace: str
    documents: bytes
    items: int
    token: bytes


def batch(reply: memoryview) -> Batch | None:
    """From a server's answer its batch, copied; None when the answer is an error."""
    outer = next((at for _, name, at, _ in _walk(reply, 4) if name == b"cursor"), None)
    if outer is None:
        return None
    number, namespace, documents, count, token = 0, "", b"", 0, b""
    for kind, name, at, end in _walk(reply, outer + 4):
        if name == b"id":
            (number,) = _LONG.unpack_from(reply, at)
        elif name == b"ns":
            namespace = bytes(reply[at + 4 : end - 1]).decode()
        elif kind == ARRAY and name in (b"firstBatch", b"nextBatch"):
            documents = _joined(reply[at:end])
            count = _items(end - at - _ARRAY_ENDS - len(documents))
        elif name == b"postBatchResumeToken":
            token = bytes(reply[at:end])
    return Batch(number, namespace, documents, count, token)


def _items(keys: int) -> int:
    """How many elements an array has of which all but the values takes so many bytes: their types, and their keys 0, 1, 2 ... in decimal.

    Raises StoreError when that is no number of elements.
    """
    count, each, of_each = 0, 3, 10
    while keys > each * of_each:
        keys, count = keys - each * of_each, count + of_each
        of_each, each = 9 * count, each + 1
    if keys % each:
        raise errors.StoreError("MongoDB answered with documents that are not numbered as BSON says.")
    return count + keys // each


def _walk(view: memoryview, at: int) -> Iterator[tuple[int, bytes, int, int]]:
    """Like `fields`, over a server's answer, which may be large: copies nothing but names."""
    while kind := view[at]:
        name = bytes(view[at + 1 : at + 1 + _LONGEST_NAME]).partition(b"\0")[0]
        value = at + len(name) + 2
        size = _FIXED.get(kind)
        end = value + (size if size is not None else _SIZED[kind] + int(_INT.unpack_from(view, value)[0]))
        yield kind, name, value, end
        at = end
