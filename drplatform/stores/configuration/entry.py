"""One entry of the tree, its section, its byte form in a dump, and its part in a digest.

A part is blocks of whole frames. A frame is four bytes of length (big-endian), a JSON document of that length, and, for a file, `size` bytes
of content. The first frame of a part is its head, {"format": 1, "position": ...}; each further one is an entry.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from drplatform.model import errors
from drplatform.model.backup import Digest, Multiset
from drplatform.model.ports import BLOCK_BYTES
from drplatform.model.position import Position

FORMAT = 1
SECTIONS = ("manifests", "environment", "secrets", "other")
FILE, LINK, DIRECTORY = "file", "link", "directory"
_OWNER_ONLY = 0o700
_LENGTH = 4


@dataclass(frozen=True)
class Entry:
    """`path` is relative to the directory, with slashes; `mode` is permission bits; `content` is that of a file, `target` that of a link."""

    path: str
    kind: str
    mode: int = 0
    target: str = ""
    content: bytes = field(default=b"", repr=False)

    @property
    def section(self) -> str:
        return section(self.path)

    def canonical(self) -> bytes:
        """The byte form of what a restore must bring back."""
        sha256 = hashlib.sha256(self.content).hexdigest()
        return json.dumps([self.path, self.kind, self.mode, self.target, len(self.content), sha256]).encode()


def section(path: str) -> str:
    first = path.partition("/")[0]
    return first if first in SECTIONS[:-1] else SECTIONS[-1]


def allowed_mode(path: str, mode: int) -> int:
    """Permission bits as we keep them: no special ones, and of secrets the owner's alone."""
    return mode & (_OWNER_ONLY if section(path) == "secrets" else 0o777)


def blocks(position: Position, entries: Iterable[Entry]) -> Iterator[bytes]:
    """Blocks of about ports.BLOCK_BYTES; an entry is never cut."""
    held = bytearray(_frame({"format": FORMAT, "position": position.to_json()}))
    for entry in entries:
        frame = _encode(entry)
        if len(held) + len(frame) > BLOCK_BYTES:
            yield bytes(held)
            held.clear()
        held += frame
    yield bytes(held)


def read(name: str, blocks: Iterable[bytes]) -> tuple[Position, Iterator[Entry]]:
    """Back again. Raises IntegrityError when the part `name` is not of this format, also while the entries are taken."""
    frames = (frame for block in blocks for frame in _frames(name, block))
    head, _ = next(frames, ({}, b""))
    if head.get("format") != FORMAT:
        raise _damaged(name, f"it has the format {head.get('format')!r}, not {FORMAT}")
    try:
        position = Position.from_json(head["position"])
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(name, "it has no position") from error
    return position, (_decode(name, document, content) for document, content in frames)


class Tally:
    """Digests by section. Not for several threads."""

    def __init__(self) -> None:
        self._found = {name: Multiset() for name in SECTIONS}
        self.bytes = 0

    def add(self, entry: Entry) -> None:
        self._found[entry.section].add(entry.canonical())
        self.bytes += len(entry.content)

    def merge(self, other: "Tally") -> None:
        for name, items in other._found.items():
            self._found[name].merge(items)
        self.bytes += other.bytes

    def digests(self) -> dict[str, Digest]:
        """Of the sections that hold something."""
        return {name: digest for name, items in self._found.items() if (digest := items.digest()).items}

    def counts(self) -> dict[str, int]:
        return {**{name: digest.items for name, digest in self.digests().items()}, "bytes": self.bytes}


def _encode(entry: Entry) -> bytes:
    document = {"path": entry.path, "kind": entry.kind, "mode": entry.mode, "target": entry.target, "size": len(entry.content)}
    return _frame({**document, "sha256": hashlib.sha256(entry.content).hexdigest()}) + entry.content


def _frame(document: dict[str, Any]) -> bytes:
    data = json.dumps(document).encode()
    return len(data).to_bytes(_LENGTH) + data


def _frames(name: str, block: bytes) -> Iterator[tuple[dict[str, Any], bytes]]:
    offset = 0
    while offset < len(block):
        begin = offset + _LENGTH
        end = begin + int.from_bytes(block[offset:begin])
        try:
            document = json.loads(block[begin:end])
            offset = end + int(document.get("size", 0))
        except (ValueError, TypeError, AttributeError):
            raise _damaged(name, "a header is no JSON") from None  # the cause would hold a piece of the content
        if not end <= offset <= len(block):
            raise _damaged(name, "an entry is cut")
        yield document, block[end:offset]


def _decode(name: str, document: dict[str, Any], content: bytes) -> Entry:
    try:
        entry = Entry(str(document["path"]), str(document["kind"]), int(document["mode"]), str(document["target"]), content)
        sha256 = str(document["sha256"])
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(name, "an entry lacks something") from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise _damaged(name, f"the content of {entry.path!r} was changed")
    return entry


def _damaged(name: str, why: str) -> errors.IntegrityError:
    return errors.IntegrityError(f"The part {name} of a configuration backup cannot be used: {why}; do not trust this backup.")
