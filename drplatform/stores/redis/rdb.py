"""What must be known of an RDB file without loading it: its first fields, its version, and whether it is whole.

Works on a stream of blocks, whatever their size, in constant memory; does not look into values.
Format: `rdb.h` and `rdb.c` of Redis and Valkey. The file begins with REDIS and four digits (Valkey from 9: VALKEY and three), then
fields (opcode 250), and ends with opcode 255 and the CRC-64 (Jones) of all before, little-endian, 0 when the server's `rdbchecksum` is off.
"""

import hashlib
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import anycrc

from drplatform.model import errors

PREFACE_BYTES = 4096
"""The first fields lie within so many bytes; they are some 200 in practice."""

_AUX, _END = 0xFA, 0xFF
_LAST_REDIS_VERSION_OF_VALKEY = 11
"""Valkey left the common line here: it reads no later REDIS file (12 to 79 are Redis' own), and has numbers from 80 on for itself."""


@dataclass(frozen=True)
class Preface:
    """What the file says of itself: `family` REDIS or VALKEY, `version` of the format, and its fields."""

    family: str
    version: int
    fields: Mapping[str, str]
    fingerprint: str

    @property
    def timeline(self) -> str:
        """The replication id that the snapshot belongs to; a made-up one for a file that was saved outside any replication."""
        return self.fields.get("repl-id") or self.fingerprint

    @property
    def offset(self) -> int:
        return int(self.fields.get("repl-offset") or 0)


def preface(start: bytes) -> Preface:
    """Read the beginning of a file. Raises IntegrityError when it is not an RDB file."""
    for family, digits in (("REDIS", 4), ("VALKEY", 3)):
        version = start[len(family) : len(family) + digits]
        if start.startswith(family.encode()) and len(version) == digits and version.isdigit():
            return Preface(family, int(version), _fields(start, len(family) + digits), hashlib.sha1(start).hexdigest())
    raise errors.IntegrityError(f"This is not an RDB file (it begins with {start[:9]!r}); do not trust this backup, use another one.")


def opened(blocks: Iterator[bytes]) -> tuple[Preface, Iterator[bytes]]:
    """The preface of a file that comes in blocks, and all its blocks again."""
    start = b""
    while len(start) < PREFACE_BYTES and (block := next(blocks, None)) is not None:
        start += block
    return preface(start[:PREFACE_BYTES]), itertools.chain([start], blocks)


def loadable(found: Preface, server_family: str, server_version: int) -> bool:
    """Whether a server that writes format `server_version` itself reads this file: a newer file never loads into an older server."""
    if found.family == "VALKEY":
        return server_family == "valkey" and found.version <= server_version
    newest = min(server_version, _LAST_REDIS_VERSION_OF_VALKEY) if server_family == "valkey" else server_version
    return found.version <= newest


class Checksum:
    """Follows a file to its end. `add` every block, then `close`."""

    def __init__(self) -> None:
        self._crc = anycrc.Model("CRC64-REDIS")
        self._value = 0
        self._tail = b""
        self.size = 0

    def add(self, block: bytes) -> None:
        self.size += len(block)
        data = self._tail + block if len(block) < 9 else block
        if data is block:
            self._value = self._crc.calc(self._tail, self._value)
        self._value = self._crc.calc(memoryview(data)[: max(0, len(data) - 9)], self._value)
        self._tail = data[-9:]

    def close(self) -> None:
        """Raises IntegrityError unless the file ended where a file ends, with the checksum of its content."""
        if len(self._tail) < 9 or self._tail[0] != _END:
            raise errors.IntegrityError(f"The RDB file ends early, after {self.size} bytes; do not use it, take another backup.")
        told = int.from_bytes(self._tail[1:], "little")
        if told and told != self._crc.calc(self._tail[:1], self._value):
            raise errors.IntegrityError(f"The RDB file of {self.size} bytes is damaged (its checksum is wrong); do not use it.")


def checked(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """The same blocks; raises IntegrityError at the end of a file that is cut off or damaged. Reads one block ahead of none."""
    checksum = Checksum()
    for block in blocks:
        checksum.add(block)
        yield block
    checksum.close()


def _fields(start: bytes, at: int) -> dict[str, str]:
    fields = dict[str, str]()
    try:
        while start[at] == _AUX:
            name, at = _text(start, at + 1)
            fields[name], at = _text(start, at)
    except IndexError:
        pass  # cut off by PREFACE_BYTES: what came before it is all that is needed
    return fields


def _text(data: bytes, at: int) -> tuple[str, int]:
    """A short string at `at`, and where it ends: with a length of 6 or 14 bits, or an integer of 8, 16 or 32."""
    first = data[at]
    if first >> 6 == 3:
        width = 1 << (first & 0x3F)
        if width > 4:
            raise IndexError
        return str(int.from_bytes(data[at + 1 : at + 1 + width], "little", signed=True)), at + 1 + width
    if first >> 6 == 2:
        raise IndexError
    size, begin = (first, at + 1) if first >> 6 == 0 else ((first & 0x3F) << 8 | data[at + 1], at + 2)
    return data[begin : begin + size].decode("utf-8", "replace"), begin + size
