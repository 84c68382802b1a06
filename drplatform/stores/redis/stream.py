"""The replication stream as data: commands, whole transactions, and the frames in which slices of it are stored.

A frame says which offsets of which history its bytes are, which database was selected before them, and when they arrived, so that a slice
explains itself. It begins and ends between commands and never inside a transaction. Frames may be joined, and cut anywhere on their way.
Formats: the stream is commands as arrays of bulk strings; an offset counts its bytes.
"""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from drplatform.model import errors
from drplatform.model.ports import Operation
from drplatform.model.position import Position

UNKNOWN = -1
"""The selected database where it is not known: the stream says it before the first command after a snapshot."""

_HEADER = struct.Struct(">4s40sQdiI")
_MAGIC = b"DRS1"
_SILENT = frozenset({b"PING", b"REPLCONF", b"SELECT", b"MULTI", b"EXEC"})


@dataclass(frozen=True)
class Frame:
    """Bytes of the history `timeline` after offset `begin`. `at`: arrival in seconds since 1970."""

    timeline: str
    begin: int
    at: float
    database: int
    data: bytes

    @property
    def end(self) -> int:
        return self.begin + len(self.data)

    def pack(self) -> bytes:
        return _HEADER.pack(_MAGIC, self.timeline.encode(), self.begin, self.at, self.database, len(self.data)) + self.data


class Command(NamedTuple):
    """One command: where it ends, its name in capitals, its first argument (empty if none)."""

    end: int
    verb: bytes
    argument: bytes


class Unit(NamedTuple):
    """What is applied whole: one command, or a transaction from MULTI to EXEC.

    `databases` are those of the commands; `database` is the one selected after it.
    """

    begin: int
    end: int
    commands: tuple[Command, ...]
    databases: tuple[int, ...]
    database: int


class Piece(NamedTuple):
    """Bytes to apply, and where one is then."""

    data: memoryview
    last: Position


def frames(blocks: Iterator[bytes]) -> Iterator[Frame]:
    """Read frames from blocks cut anywhere. Raises IntegrityError when they are none, or the last is not whole."""
    held = bytearray()
    for block in blocks:
        held += block
        at = 0
        while (frame := _frame(held, at)) is not None:
            yield frame
            at += _HEADER.size + len(frame.data)
        del held[:at]
    if held:
        raise errors.IntegrityError(f"The stored stream of Redis ends inside a frame, after {len(held)} bytes of it; do not use it.")


def units(data: bytes | bytearray, database: int, begin: int = 0, stop: bytes = b"") -> Iterator[Unit]:
    """All units that are whole, from `begin` on, up to a line that begins with `stop`. Raises IntegrityError where no command begins."""
    at, commands, databases = begin, list[Command](), list[int]()
    while (not stop or data[at : at + 1] != stop) and (command := _command(data, at)) is not None:
        at = command.end
        if command.verb == b"SELECT":
            database = int(command.argument)
        commands.append(command)
        databases.append(database)
        if commands[0].verb == b"MULTI" and command.verb != b"EXEC":
            continue
        yield Unit(begin, at, tuple(commands), tuple(databases), database)
        begin, commands, databases = at, [], []


def writes(found: Iterable[Unit]) -> int:
    """How many commands in them write; the others keep the connection alive, or frame."""
    return sum(command.verb not in _SILENT for unit in found for command in unit.commands)


def after(blocks: Iterator[bytes], reached: Position, until: Position | None) -> Iterator[Piece]:
    """What must be applied, in order, to get from `reached` up to and including `until`; a transaction is applied whole or not at all.

    Raises LogGap when something is missing, IntegrityError when the frames are of another history.
    """
    if until is not None and until < reached:
        raise errors.RecoveryFailed(f"The snapshot is of {reached}, later than {until}; restore from an earlier one.")
    offset = reached.sequence[0]
    for frame in frames(blocks):
        if until is not None and offset >= until.sequence[0]:
            return
        stop = _stop(frame, reached, offset, until)
        if stop > offset:
            yield Piece(memoryview(frame.data)[offset - frame.begin : stop - frame.begin], Position(frame.timeline, (stop,), frame.at))
            offset = stop
        if until is not None and frame.end >= until.sequence[0]:
            return
    if until is not None and offset < until.sequence[0]:
        raise errors.LogGap(f"The stored stream of Redis ends at offset {offset}, before {until}; choose a recovery point up to there.")


def operations(block: bytes) -> Iterator[Operation]:
    """The writes in a block, for people. Those of one transaction share the positions before and after it."""
    for frame in frames(iter([block])):
        for unit in units(frame.data, frame.database):
            before = Position(frame.timeline, (frame.begin + unit.begin,), frame.at)
            last = Position(frame.timeline, (frame.begin + unit.end,), frame.at)
            for command, database in zip(unit.commands, unit.databases, strict=True):
                if command.verb not in _SILENT:
                    yield Operation(last, before, command.verb.decode("ascii", "replace"), _subject(command, database))


def _stop(frame: Frame, reached: Position, offset: int, until: Position | None) -> int:
    """Up to which offset this frame is applied."""
    if frame.timeline != reached.timeline:
        raise errors.IntegrityError(
            f"The stored stream is of history {frame.timeline}, the snapshot of {reached.timeline}; they do not belong together."
        )
    if frame.begin > offset:
        raise errors.LogGap(
            f"The stored stream of Redis has a hole between offsets {offset} and {frame.begin}; choose a recovery point before it."
        )
    if until is None or until.sequence[0] >= frame.end:
        return frame.end
    ends = (frame.begin + unit.end for unit in units(frame.data, frame.database))
    return max((end for end in ends if end <= until.sequence[0]), default=frame.begin)


def _frame(held: bytearray, at: int) -> Frame | None:
    if len(held) - at < _HEADER.size:
        return None
    magic, timeline, begin, arrived, database, size = _HEADER.unpack_from(held, at)
    if magic != _MAGIC:
        raise errors.IntegrityError(f"This is no stored stream of Redis (a frame begins with {magic!r}); do not trust this backup.")
    data = bytes(held[at + _HEADER.size : at + _HEADER.size + size])
    return Frame(timeline.decode(), begin, arrived, database, data) if len(data) == size else None


def _command(data: bytes | bytearray, at: int) -> Command | None:
    """The command at `at`; nothing when it is not whole. Only two of its arguments are looked at: values may be large."""
    line = data.find(b"\r\n", at)
    if line < 0:
        return None
    count, at = _number(data, at, line, b"*"), line + 2
    shown = list[bytes]()
    for index in range(count):
        line = data.find(b"\r\n", at)
        if line < 0:
            return None
        end = line + 2 + _number(data, at, line, b"$")
        if index < 2:
            shown.append(bytes(data[line + 2 : end]))
        at = end + 2
    if at > len(data):
        return None
    return Command(at, shown[0].upper(), shown[1] if len(shown) > 1 else b"")


def _number(data: bytes | bytearray, at: int, line: int, kind: bytes) -> int:
    if data[at : at + 1] != kind or not data[at + 1 : line].isdigit():
        raise errors.IntegrityError(
            f"The replication stream holds no command at byte {at} but {bytes(data[at : at + 20])!r}; take a new snapshot."
        )
    return int(data[at + 1 : line])


def _subject(command: Command, database: int) -> str:
    place = "db?" if database == UNKNOWN else f"db{database}"
    if command.verb == b"FLUSHALL":
        return "all databases"
    if command.verb in (b"FLUSHDB", b"SWAPDB"):
        return place
    return f"{place}:{command.argument.decode('utf-8', 'backslashreplace')}"
