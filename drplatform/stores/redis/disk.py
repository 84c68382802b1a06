"""A server's own files: reading what a dead server left, and writing a directory that a stock server starts from.

Read: the append-only file in parts (Redis 7: `appendonlydir` with a manifest), in one file (Redis 6, with or without an RDB file at its
beginning), else the RDB file; what a server would start from, in that order. Nothing is left out silently: a torn end is named, a hole or
damage raises IntegrityError. Written: the parts, or one file for Redis 6. Formats: `aof.c` of Redis and Valkey.
"""

import mmap
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import anycrc

from drplatform.model import errors, whole
from drplatform.model.ports import BLOCK_BYTES
from drplatform.model.position import Position
from drplatform.stores.redis import rdb, stream, users

PARTS_DIRECTORY, SINGLE_FILE, SNAPSHOT_FILE = "appendonlydir", "appendonly.aof", "dump.rdb"
_MANIFEST_LINE = re.compile(r"file (?P<name>\"[^\"]+\"|\S+) seq (?P<seq>\d+) type (?P<type>[bih])(?: .*)?")
_EMPTY = b"REDIS0009\xff"


@dataclass(frozen=True)
class Recovered:
    """What a data directory holds, to be loaded and replayed like a backup.

    `blocks` yields an RDB file, `log` the frames behind it; both can be called again. `left_out` says, in words, what was not usable: known
    once `log` was read to its end.
    """

    blocks: Callable[[], Iterator[bytes]]
    log: Callable[[], Iterator[bytes]]
    left_out: list[str]
    preface: rdb.Preface
    modified: float
    """When the newest of the files was written, in seconds since 1970."""


@dataclass(frozen=True)
class _Section:
    """A run of bytes in a file."""

    path: Path
    begin: int
    end: int

    def blocks(self) -> Iterator[bytes]:
        with self.path.open("rb") as file:
            file.seek(self.begin)
            remaining = self.end - self.begin
            while remaining and (block := file.read(min(BLOCK_BYTES, remaining))):
                remaining -= len(block)
                yield block


def read(directory: Path) -> Recovered:
    """Raises IntegrityError when files that belong together are missing or damaged, SettingsError when there are none."""
    base, commands = _sections(directory)
    left_out = list[str]()
    preface, _ = rdb.opened(base.blocks() if base else iter([_empty_file()]))

    modified = max(section.path.stat().st_mtime for section in (*commands, *([base] if base else [])))

    def blocks() -> Iterator[bytes]:
        return rdb.checked(base.blocks()) if base else iter([_empty_file()])

    def log() -> Iterator[bytes]:
        left_out.clear()
        return (frame.pack() for frame in _frames(commands, preface, left_out, modified))

    return Recovered(blocks, log, left_out, preface, modified)


def write(directory: Path, blocks: Iterator[bytes], log: Iterator[bytes], until: Position | None, *, parts: bool = True) -> Position:
    """Write files from which a server with `appendonly yes` starts, and say where in history they end.

    `parts`: as Redis 7 and Valkey keep them; else one file, for Redis 6 (later ones convert it). No `dump.rdb` is written: a server
    without `appendonly` would start from it without the log, and lose what the log holds silently. Raises TargetRefused when the directory
    holds anything of a server.
    """
    writing = Writing(directory, in_parts=parts)
    writing.snapshot(blocks)
    writing.log(log, until)
    return writing.finish()


class Writing:
    """Files on their way. Order: snapshot, log*, users, finish. A server refuses to start from them before `finish`: with parts, the manifest is
    there first and names what is not there yet; one file has another name until then, and a directory of parts that is no directory.
    """

    def __init__(self, directory: Path, *, in_parts: bool) -> None:
        self._directory, self._in_parts = directory, in_parts
        folder = directory / PARTS_DIRECTORY if in_parts else directory
        self._base = folder / (f"{SINGLE_FILE}.1.base.rdb" if in_parts else SINGLE_FILE)
        self._partial = self._base.with_name(f"{self._base.name}.partial")
        self._tail = folder / f"{SINGLE_FILE}.1.incr.aof" if in_parts else self._partial
        self._reached: Position | None = None

    @property
    def reached(self) -> Position:
        """Raises RecoveryFailed when there was no snapshot."""
        if self._reached is None:
            raise errors.RecoveryFailed("No snapshot was loaded; a log alone restores nothing.")
        return self._reached

    def snapshot(self, blocks: Iterator[bytes]) -> None:
        _refuse_occupied(self._directory)
        preface, content = rdb.opened(blocks)
        self._base.parent.mkdir(parents=True, exist_ok=True)
        self._block_start()
        _append(self._partial, rdb.checked(content))
        self._reached = Position(preface.timeline, (preface.offset,), float(preface.fields.get("ctime", 0)))

    def log(self, blocks: Iterator[bytes], until: Position | None) -> None:
        pieces = list[Position]([self.reached])
        _append(self._tail, _noted(stream.after(blocks, self.reached, until), pieces))
        self._reached = pieces[-1]

    def users(self, lines: Iterable[bytes]) -> None:
        """An ACL file beside the others, which nobody but its owner reads: it holds hashes of passwords."""
        path = self._directory / users.FILE
        path.touch(mode=0o600, exist_ok=False)
        _append(path, (line + b"\n" for line in lines))

    def finish(self) -> Position:
        reached = self.reached
        _append(self._tail, iter(()))
        self._partial.rename(self._base)
        if not self._in_parts:
            (self._directory / PARTS_DIRECTORY).unlink()
        whole.sync_directory(self._base.parent)
        return reached

    def _block_start(self) -> None:
        if self._in_parts:
            lines = f"file {self._base.name} seq 1 type b\nfile {self._tail.name} seq 1 type i\n"
            (self._base.parent / f"{SINGLE_FILE}.manifest").write_text(lines)
        else:
            (self._directory / PARTS_DIRECTORY).touch()


def _sections(directory: Path) -> tuple[_Section | None, list[_Section]]:
    """Where the snapshot is, if there is one, and where the commands behind it are, in order."""
    if manifests := sorted((directory / PARTS_DIRECTORY).glob("*.manifest")):
        return _parts(manifests[0])
    if (single := directory / SINGLE_FILE).exists():
        begin = _end_of_snapshot(single)
        return (_Section(single, 0, begin) if begin else None), [_Section(single, begin, single.stat().st_size)]
    if (snapshot := directory / SNAPSHOT_FILE).exists():
        return _whole(snapshot), []
    raise errors.SettingsError(f"{directory} holds no files of Redis ({PARTS_DIRECTORY}, {SINGLE_FILE} or {SNAPSHOT_FILE}).")


def _parts(manifest: Path) -> tuple[_Section | None, list[_Section]]:
    found = [_MANIFEST_LINE.fullmatch(line) for line in manifest.read_text().splitlines() if line.strip() and not line.startswith("#")]
    if not found or None in found:
        raise errors.IntegrityError(f"{manifest} cannot be read; the append-only file is not usable without it.")
    listed = [(m["type"], int(m["seq"]), manifest.parent / m["name"].strip('"')) for m in found if m]
    live = [(kind, seq, path) for kind, seq, path in listed if kind != "h"]
    if missing := [path.name for _, _, path in live if not path.exists()]:
        raise errors.IntegrityError(f"{manifest} names {', '.join(missing)}, which is not there; what it held is lost.")
    bases = [_whole(path) for kind, _, path in live if kind == "b"]
    tails = [_whole(path) for kind, _, path in sorted(live, key=lambda part: part[1]) if kind == "i"]
    snapshots = [base for base in bases if _is_snapshot(base.path)]
    return (snapshots[0] if snapshots else None), [base for base in bases if base not in snapshots] + tails


def _whole(path: Path) -> _Section:
    return _Section(path, 0, path.stat().st_size)


def _is_snapshot(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(6).startswith((b"REDIS", b"VALKEY"))


def _end_of_snapshot(path: Path) -> int:
    """Where the RDB file at the beginning ends: at the first opcode 255 that the checksum of all before it follows. 0 when there is none."""
    if not _is_snapshot(path):
        return 0
    crc, value, done = anycrc.Model("CRC64-REDIS"), 0, 0
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        at = data.find(b"\xff")
        while 0 <= at <= len(data) - 9:
            if data[at + 9 : at + 10] in (b"", b"*", b"#"):
                value, done = _extended(crc, value, data, done, at + 1), at + 1
                if data[done : done + 8] == value.to_bytes(8, "little"):
                    return done + 8
            at = data.find(b"\xff", at + 1)
    raise errors.IntegrityError(f"The snapshot at the beginning of {path} is damaged or has no checksum; restore from a backup.")


def _extended(crc: "anycrc.CRC", value: int, data: mmap.mmap, begin: int, end: int) -> int:
    for at in range(begin, end, BLOCK_BYTES):
        value = crc.calc(data[at : min(end, at + BLOCK_BYTES)], value)
    return value


def _frames(sections: list[_Section], preface: rdb.Preface, left_out: list[str], modified: float) -> Iterator[stream.Frame]:
    """The commands as frames that continue the snapshot. Times are those that the server noted (`aof-timestamp-enabled`), else that of the files."""
    offset, database, noted = preface.offset, stream.UNKNOWN, 0.0
    for number, section in enumerate(sections, 1):
        held = bytearray()
        for block in section.blocks():
            held += block
            noted, data, database_after = _taken(held, database, noted)
            if data:
                yield stream.Frame(preface.timeline, offset, noted or modified, database, data)
                offset, database = offset + len(data), database_after
        if held and number < len(sections):
            raise errors.IntegrityError(f"{section.path} ends inside a command, and others follow it; what it held is lost.")
        if held:
            left_out.append(f"the last {len(held)} bytes of {section.path.name}, which are no whole command or transaction")


def _taken(held: bytearray, database: int, noted: float) -> tuple[float, bytes, int]:
    """Take all whole units off the front, and pass over the server's notes between them: the last time noted, their bytes, the database."""
    data, at = bytearray(), 0
    while True:
        end = at
        for unit in stream.units(held, database, at, stop=b"#"):
            end, database = unit.end, unit.database
        data += held[at:end]
        line = held.find(b"\r\n", end) if held[end : end + 1] == b"#" else -1
        if line < 0:
            del held[:end]
            return noted, bytes(data), database
        if held[end:line].startswith(b"#TS:"):
            noted = float(held[end + 4 : line])
        at = line + 2


def occupants(directory: Path) -> tuple[str, ...]:
    """What of a server's files is there."""
    names = (PARTS_DIRECTORY, SINGLE_FILE, SNAPSHOT_FILE, f"{SINGLE_FILE}.partial", users.FILE)
    return tuple(name for name in names if (directory / name).exists())


def _refuse_occupied(directory: Path) -> None:
    if found := occupants(directory):
        raise errors.TargetRefused(f"{directory} holds {', '.join(found)} of a server already; write into an empty directory.")


def _append(path: Path, blocks: Iterator[bytes | memoryview]) -> None:
    with path.open("ab") as file:
        for block in blocks:
            file.write(block)
        file.flush()
        os.fsync(file.fileno())


def _noted(pieces: Iterator[stream.Piece], reached: list[Position]) -> Iterator[memoryview]:
    for piece in pieces:
        reached.append(piece.last)
        yield piece.data


def _empty_file() -> bytes:
    checksum: int = anycrc.Model("CRC64-REDIS").calc(_EMPTY)
    return _EMPTY + checksum.to_bytes(8, "little")
