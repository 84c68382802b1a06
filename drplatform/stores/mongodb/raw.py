"""BSON without decoding it: cut blocks into documents, find fields, put documents together from parts of others.

Format: bsonspec.org, version 1.1.
"""

import struct
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat
from operator import methodcaller
from typing import Any, NamedTuple

import bson
from bson import _array_of_documents_to_buffer as _joined  # in C; what pymongo's own raw batches use

from drplatform.model import errors

_INT = struct.Struct("<i")
_LONG = struct.Struct("<q")
_STAMP = struct.Struct("<II")
_HEAD = struct.Struct("<ixI")
"""Of a document: its size, and the first four bytes of its first field's name."""
_FIXED = {0x01: 8, 0x06: 0, 0x07: 12, 0x08: 1, 0x09: 8, 0x0A: 0, 0x10: 4, 0x11: 8, 0x12: 8, 0x13: 16, 0x7F: 0, 0xFF: 0}
_SIZED = {0x02: 4, 0x03: 0, 0x04: 0, 0x05: 5, 0x0C: 16, 0x0D: 4, 0x0E: 4, 0x0F: 0}
_REGEX = 0x0B
_LONGEST_NAME = 64
_ID_FIRST = b"_id\0"
_ID_AS_NUMBER = int.from_bytes(_ID_FIRST, "little")
_STARTS_WITH_ID = methodcaller("startswith", _ID_FIRST, 5)
ARRAY, TIMESTAMP = 0x04, 0x11
_SHORTEST = 5
"""Bytes of what has no fields: its size, and its end."""
_KEYS = tuple((2 + digits, 9 * 10 ** (digits - 1) + (digits == 1)) for digits in range(1, 9))
"""Of the elements of an array: how many bytes each has before its value, its type and 0, 1, 2 ... in decimal, and of how many that holds."""


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
            if after < at + _SHORTEST:
                break
            take(block[at:after])
            at = after
    except struct.error:
        at = -1
    if at != end:
        raise _no_sequence()
    return found


def _no_sequence() -> errors.IntegrityError:
    return errors.IntegrityError("A block of this backup is not a sequence of BSON documents; do not trust it.")


class Walk(NamedTuple):
    """What was seen on a walk over documents: where each ends, whether each begins with its `_id`, and the sum of what was made of each."""

    ends: list[int]
    id_first: bool
    sum: int


def walk(block: bytes | memoryview, made: Callable[[memoryview, int], int], seed: int, *, array: bool = False) -> Walk:
    """All that is asked of each document at once, where it lies: copies of them would take most of the time. Raises IntegrityError as `split`.

    With `array` they are its elements, each after its type and its key.
    """
    ends, id_first, total, at, end = list[int](), True, 0, 0, len(block)
    view, head_at, take, key = memoryview(block), _HEAD.unpack_from, ends.append, 0
    for key, items in _KEYS if array else ((0, end),):
        most = end - key - _HEAD.size
        for _ in repeat(None, items):
            if at > most:
                break
            begin = at + key
            size, name = head_at(block, begin)
            if size < _SHORTEST:
                break
            at = begin + size
            if name != _ID_AS_NUMBER:
                id_first = False
            total += made(view[begin:at], seed)
            take(at)
        else:
            continue
        break
    for short in split(bytes(view[at + key :])) if at < end else ():  # than what begins with `_id`; or it is no document
        id_first, total, at = False, total + made(memoryview(short), seed), end
        take(at)
    if at != end:
        raise _no_sequence()
    return Walk(ends, id_first, total)


def runs(block: bytes, ends: Sequence[int], most_bytes: int, most_documents: int) -> Iterator[tuple[memoryview, int]]:
    """A block, of documents that end there, in stretches of whole ones: its bytes where they lie, and how many documents.

    A stretch has more bytes only when it is a single document.
    """
    view, begin, first = memoryview(block), 0, 0
    while first < len(ends):
        last = max(first + 1, min(bisect_right(ends, begin + most_bytes), first + most_documents))
        yield view[begin : ends[last - 1]], last - first
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
    return _INT.pack(len(body) + _SHORTEST) + body + b"\0"


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


@dataclass(frozen=True)
class Batch:
    """What a cursor gave: its number (0 when it has ended) and namespace, an array of documents as it lies in the server's answer, and the
    token (a document) to go on after them, which is empty where none was asked for."""

    cursor: int
    namespace: str
    array: memoryview
    token: bytes

    @property
    def documents(self) -> bytes:
        """Concatenated. Raises StoreError when they are not numbered."""
        return self._copied[0]

    @property
    def items(self) -> int:
        """How many. Raises StoreError when they are not numbered."""
        return self._copied[1]

    @cached_property
    def _copied(self) -> tuple[bytes, int]:
        documents = _joined(self.array)
        return documents, _items(len(self.array) - _SHORTEST - len(documents))

    def walk(self, made: Callable[[memoryview, int], int], seed: int) -> Walk:
        """Over the documents where they lie. Raises StoreError when they are not numbered."""
        try:
            return walk(self.array[4:-1], made, seed, array=True)
        except errors.IntegrityError as error:
            raise _not_numbered() from error


def batch(reply: memoryview) -> Batch | None:
    """From a server's answer its batch; None when the answer is an error."""
    outer = next((at for _, name, at, _ in _elements_of(reply, 4) if name == b"cursor"), None)
    if outer is None:
        return None
    number, namespace, array, token = 0, "", memoryview(assemble(())), b""
    for kind, name, at, end in _elements_of(reply, outer + 4):
        if name == b"id":
            (number,) = _LONG.unpack_from(reply, at)
        elif name == b"ns":
            namespace = bytes(reply[at + 4 : end - 1]).decode()
        elif kind == ARRAY and name in (b"firstBatch", b"nextBatch"):
            array = reply[at:end]
        elif name == b"postBatchResumeToken":
            token = bytes(reply[at:end])
    return Batch(number, namespace, array, token)


def _items(keys: int) -> int:
    """How many elements an array has of which all but the values takes so many bytes: their types, and their keys 0, 1, 2 ... in decimal.

    Raises StoreError when that is no number of elements.
    """
    count = 0
    for each, of_each in _KEYS:
        if keys <= each * of_each:
            break
        keys, count = keys - each * of_each, count + of_each
    if keys % each:
        raise _not_numbered()
    return count + keys // each


def _not_numbered() -> errors.StoreError:
    return errors.StoreError("MongoDB answered with documents that are not numbered as BSON says.")


def _elements_of(view: memoryview, at: int) -> Iterator[tuple[int, bytes, int, int]]:
    """Like `fields`, over a server's answer, which may be large: copies nothing but names."""
    while kind := view[at]:
        name = bytes(view[at + 1 : at + 1 + _LONGEST_NAME]).partition(b"\0")[0]
        value = at + len(name) + 2
        size = _FIXED.get(kind)
        end = value + (size if size is not None else _SIZED[kind] + int(_INT.unpack_from(view, value)[0]))
        yield kind, name, value, end
        at = end
