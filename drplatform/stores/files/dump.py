"""A full dump: one pass over each bucket, packs of objects first (stage 0), then an index of what they hold (stage 1).

Parts: `content/<bucket>/<number>` in the format of `framing`, and `index/<bucket>`: lines of JSON, first the position, then each object's
header with the SHA-256 of its content and the part that holds it. The index comes last because only then is known what was read; it is
kept meanwhile in an unnamed temporary file (names and metadata, no content). A restore checks the packs against it.
"""

import functools
import json
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import IO, Any

from drplatform.model import ports
from drplatform.model.ports import DumpEnd, Part
from drplatform.model.position import Position
from drplatform.stores.files import content, framing, listing
from drplatform.stores.files.content import End, Event, Header, Tally, Void

PACK_BYTES = 32 * 1024 * 1024
PACK_OBJECTS = 500


@contextmanager
def dump(s3: Any, buckets: tuple[str, ...], position: Position) -> Iterator["FilesDump"]:
    """A dump of what the buckets hold from now on; `position` was taken just before."""
    with ExitStack() as files:
        spools = {bucket: files.enter_context(tempfile.TemporaryFile("w+b")) for bucket in buckets}
        yield FilesDump(s3, position, spools)


class FilesDump:
    """See `ports.Dump`."""

    def __init__(self, s3: Any, position: Position, spools: Mapping[str, IO[bytes]]) -> None:
        self._s3, self._position, self._spools = s3, position, spools
        self._tally, self._lock = Tally(), threading.Lock()

    def parts(self) -> Iterator[Part]:
        """Lazy: a bucket is listed as its packs are taken."""
        for bucket in self._spools:
            self._tally.open(bucket)
            for number, keys in enumerate(_packs(listing.protected(self._s3, bucket))):
                name = f"content/{bucket}/{number:06d}"
                yield Part(name, 0, functools.partial(self._pack, bucket, name, keys))
        for bucket in self._spools:
            yield Part(f"index/{bucket}", 1, functools.partial(self._index, bucket))

    def finish(self) -> DumpEnd:
        return DumpEnd(self._position, self._position, self._tally.digests(), self._tally.counts())

    def _pack(self, bucket: str, part: str, keys: list[str]) -> Iterator[bytes]:
        return framing.blocks(event for key in keys for event in self._noted(bucket, part, content.read(self._s3, bucket, key)))

    def _noted(self, bucket: str, part: str, events: Iterator[Event]) -> Iterator[Event]:
        """The events, each object that came whole being noted in the index."""
        header: Header | None = None
        for event in events:
            match event:
                case Header():
                    header = event
                case Void():
                    header = None
                case End() if header:
                    self._note(bucket, part, header, event.sha256)
            yield event

    def _note(self, bucket: str, part: str, header: Header, sha256: str) -> None:
        line = json.dumps({**header.to_json(), "sha256": sha256, "part": part}, separators=(",", ":"))
        self._tally.add(bucket, header, sha256)
        with self._lock:
            self._spools[bucket].write(line.encode() + b"\n")

    def _index(self, bucket: str) -> Iterator[bytes]:
        held = bytearray(json.dumps(self._position.to_json()).encode() + b"\n")
        spool = self._spools[bucket]
        spool.seek(0)
        for line in spool:
            if len(held) + len(line) > ports.BLOCK_BYTES:
                yield bytes(held)
                held.clear()
            held += line
        yield bytes(held)


def _packs(entries: Iterator[listing.Entry]) -> Iterator[list[str]]:
    keys, size = list[str](), 0
    for entry in entries:
        keys.append(entry.key)
        size += entry.size
        if size >= PACK_BYTES or len(keys) >= PACK_OBJECTS:
            yield keys
            keys, size = [], 0
    if keys:
        yield keys
