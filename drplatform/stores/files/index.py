"""The index of a backup: what each bucket held, and which part of which backup holds the content.

Part `index/<bucket>`: lines of JSON, first the position of the backup, then each object's header with the SHA-256 of its content and the
part that holds it. In an increment, an object that did not change has an empty part: its content is in an earlier backup.
Part `versions/<bucket>`, of a bucket that keeps versions: the same of the older ones.
Knows no server. Any number of objects in bounded memory: what must be looked up lies in an unnamed temporary database.
"""

import functools
import json
import re
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from drplatform.model import errors
from drplatform.model.ports import BackupParts
from drplatform.model.position import Position
from drplatform.stores.files.content import Header, Tally, encoded
from drplatform.stores.files.listing import Entry

PREFIX = "index/"
VERSIONS = "versions/"
RACY_SECONDS = 2.0
"""What was written so shortly before a backup began may have been written again in the same tick of the server's clock."""


@dataclass(frozen=True)
class Record:
    """One object of a backup. `part` is empty when an earlier backup holds its content."""

    header: Header
    sha256: str
    part: str

    def line(self) -> bytes:
        return encoded({**self.header.to_json(), "sha256": self.sha256, "part": self.part}).encode() + b"\n"

    @classmethod
    def of(cls, line: bytes) -> "Record":
        """Raises IntegrityError when it is none."""
        try:
            document: Any = json.loads(line.decode("ascii"))
            return cls(Header.from_json(document), str(document["sha256"]), str(document["part"]))
        except (KeyError, TypeError, ValueError) as error:
            raise _unreadable(error) from error

    @property
    def place(self) -> bytes:
        """Where it stands among all of a bucket: by key, then the newest first. No key holds a zero byte."""
        return _place(self.header.key, self.header.age)

    def is_of(self, entry: Entry) -> bool:
        """Whether a listing shows the very object that was backed up: same content, written at the same time."""
        header = self.header
        return (header.size, header.etag) == (entry.size, entry.etag) and seconds(header.modified) == int(entry.modified)


class Line:
    """A record as it stands in an index, of which no more is read than is asked for: nearly all of an increment is objects that did not change."""

    def __init__(self, line: bytes) -> None:
        self._line = line

    @property
    def record(self) -> Record:
        """Raises IntegrityError when it is none."""
        return Record.of(self._line)

    def is_of(self, entry: Entry) -> bool:
        """As of a record. Most are told by how their line begins."""
        return self._line.startswith(_begin(entry)) or self.record.is_of(entry)

    def count(self, tally: Tally, bucket: str) -> None:
        """Add the object to the tally. Raises IntegrityError when it is no record."""
        if plain := _PLAIN.match(self._line):
            key, size, content_type, sha256 = plain.groups()
            tally.add_item(bucket, key.decode(), int(size), b'["%b",%b,"%b",{},{},{}]\n%b' % (key, size, content_type, sha256))
            return
        try:
            fields = _decoded(self._line.decode("ascii"))
            tally.add_fields(bucket, fields, fields["sha256"])
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise _unreadable(error) from error

    def carried(self) -> bytes:
        """The line of an increment in which the object did not change. Raises IntegrityError when it is no record."""
        begin, found, _ = self._line.rpartition(_PART)
        if not found:
            raise _unreadable(ValueError("a line does not end with its part"))
        return begin + _PART + b'""}\n'


_decoded = json.JSONDecoder().decode
_PART = b',"part":'
"""The last field of a line. Nothing within a string looks like it, whose quotes have a backslash before them."""
_FIRST = b'{"key":"'
_SIZE = b',"size":'
"""The same of the second field."""
_TEXT = rb"[ !#-\[\]-~]*"
"""Within quotes, what is written as it is."""
_PLAIN = re.compile(
    rb'\{"key":"(%b)","size":(0|[1-9]\d*),"etag":"%b(?:\\"%b)*","modified":"%b","content_type":"(%b)","storage_class":"STANDARD",'
    rb'"properties":\{\},"metadata":\{\},"tags":\{\},"grants":\[\],"version":"","age":0,"sha256":"([0-9a-f]{64})","part":"%b"\}$'
    % ((_TEXT,) * 6)
)
"""Of an object of which there is no more to say. A tally counts it by these fields as they stand: there is nothing in them to read."""


def _begin(entry: Entry) -> bytes:
    """How the line of what a listing shows begins."""
    modified = _told(int(entry.modified))
    return f'{{"key":{encoded(entry.key)},"size":{entry.size},"etag":{encoded(entry.etag)},"modified":"{modified}",'.encode()


@functools.lru_cache(1024)
def _told(moment: int) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat()


def seconds(modified: str) -> int:
    """Whole seconds since 1970: headers tell no more."""
    return int(datetime.fromisoformat(modified).timestamp()) if modified else 0


def read(blocks: Iterable[bytes]) -> tuple[Position, Iterator[Record]]:
    """The position of the backup, and its records. Raises IntegrityError."""
    position, lines = _opened(blocks)
    return position, map(Record.of, lines)


def _opened(blocks: Iterable[bytes]) -> tuple[Position, Iterator[bytes]]:
    lines = _lines(blocks)
    try:
        return Position.from_json(json.loads(next(lines))), lines
    except (StopIteration, KeyError, TypeError, ValueError) as error:
        raise _unreadable(error) from error


def bucket_of(part: str) -> str:
    """`uploads` of `index/uploads` and of `content/uploads/000001`."""
    return part.split("/")[1]


class Known:
    """Objects of one backup by bucket and key. A context manager; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._database = sqlite3.connect("", check_same_thread=False, isolation_level=None)
        self._database.executescript(
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -16384;"
            "CREATE TABLE object (bucket TEXT, key BLOB, line BLOB, PRIMARY KEY (bucket, key)) WITHOUT ROWID; BEGIN;"
        )

    def add(self, bucket: str, records: Iterable[Record]) -> None:
        self._put(bucket, ((record.place, record.line()) for record in records))

    def add_lines(self, bucket: str, lines: Iterable[bytes]) -> None:
        """Records as an index holds them, which may be of any age. Raises IntegrityError."""
        self._put(bucket, ((Record.of(line).place, line) for line in lines))

    def add_current(self, bucket: str, lines: Iterable[bytes]) -> None:
        """The same of current objects, of which only the key is read. Raises IntegrityError when there is none."""
        self._put(bucket, ((_key(line), line) for line in lines))

    def _put(self, bucket: str, rows: Iterable[tuple[bytes, bytes]]) -> None:
        with self._lock:
            self._database.executemany("INSERT OR REPLACE INTO object VALUES (?, ?, ?)", ((bucket, *row) for row in rows))

    def note(self, bucket: str, key: str) -> None:
        """Hold a name, without a record: for names that are only asked for."""
        with self._lock:
            self._database.execute("INSERT OR REPLACE INTO object VALUES (?, ?, ?)", (bucket, _place(key), b""))

    def find(self, bucket: str, key: str, age: int = 0) -> Record | None:
        where = (bucket, _place(key, age))
        with self._lock:
            row = self._database.execute("SELECT line FROM object WHERE bucket = ? AND key = ?", where).fetchone()
        return Record.of(row[0]) if row else None

    def holds(self, bucket: str, key: str) -> bool:
        where = (bucket, _place(key))
        with self._lock:
            return self._database.execute("SELECT 1 FROM object WHERE bucket = ? AND key = ?", where).fetchone() is not None

    def versions(self, bucket: str, key: str) -> list[Record]:
        """All of one key, the newest first."""
        query = "SELECT line FROM object WHERE bucket = ? AND (key = ? OR (key > ? AND key < ?)) ORDER BY key"
        first = _place(key)
        with self._lock:
            rows = self._database.execute(query, (bucket, first, first + b"\0", first + b"\1")).fetchall()
        return [Record.of(line) for (line,) in rows]

    def remove(self, bucket: str, key: str, age: int = 0) -> None:
        with self._lock:
            self._database.execute("DELETE FROM object WHERE bucket = ? AND key = ?", (bucket, _place(key, age)))

    def records(self, bucket: str) -> Iterator[Record]:
        """In order of keys, read a page at a time: the table may change meanwhile."""
        return (Record.of(line) for _, line in self._rows(bucket))

    def keys(self, bucket: str) -> Iterator[str]:
        """As `records`."""
        return (key.decode("utf-8", "surrogatepass") for key, _ in self._rows(bucket))

    def _rows(self, bucket: str) -> Iterator[tuple[bytes, bytes]]:
        query, after = "SELECT key, line FROM object WHERE bucket = ? AND key >= ? ORDER BY key LIMIT 500", b""
        while True:
            with self._lock:
                page = self._database.execute(query, (bucket, after)).fetchall()
            yield from page
            if not page:
                return
            after = page[-1][0] + b"\0"

    def current(self, bucket: str, place: bytes, rows: int) -> list[bytes]:
        """The lines of the next current objects from this place on.

        They come as one row: between two rows other threads have their turn, which takes many times as long as a row.
        """
        query = (
            "SELECT CAST(GROUP_CONCAT(line, x'0a') AS BLOB) FROM"
            " (SELECT line FROM object WHERE bucket = ? AND key >= ? AND INSTR(key, x'00') = 0 ORDER BY key LIMIT ?)"
        )
        with self._lock:
            (lines,) = self._database.execute(query, (bucket, place, rows)).fetchone()
        return [line for line in (lines or b"").splitlines() if line]

    def count(self) -> int:
        with self._lock:
            return int(self._database.execute("SELECT COUNT(*) FROM object").fetchone()[0])

    def __enter__(self) -> "Known":
        return self

    def __exit__(self, *exc: object) -> None:
        with self._lock:
            self._database.close()


class Walk:
    """Looks up current objects of a bucket by keys that come in their order, or nearly: some of them at a time. For one thread; does not see
    what changes meanwhile."""

    _ROWS = 100

    def __init__(self, known: Known, bucket: str) -> None:
        self._known, self._bucket = known, bucket
        self._lines: dict[bytes, bytes] = {}
        self._first, self._last = b"\0", b""

    def line(self, key: str) -> Line | None:
        place = _place(key)
        if not self._first <= place <= self._last:
            self._lines = {_key(line): line for line in self._known.current(self._bucket, place, self._ROWS)}
            self._first, self._last = place, max(self._lines, default=place)
        line = self._lines.get(place)
        return Line(line) if line else None


def remember(parts: BackupParts, known: Known) -> Position:
    """Take the indexes among the parts into `known`, older versions too. Raises IntegrityError when there are none."""
    position: Position | None = None
    for name, blocks in parts:
        if name.startswith((PREFIX, VERSIONS)):
            position, lines = _opened(blocks)
            (known.add_current if name.startswith(PREFIX) else known.add_lines)(bucket_of(name), lines)
    if position is None:
        raise errors.IntegrityError("This backup of files has no index; do not trust it, use another one.")
    return position


def _place(key: str, age: int = 0) -> bytes:
    place = key.encode("utf-8", "surrogatepass")
    return place + b"\0%08d" % age if age else place


def _key(line: bytes) -> bytes:
    """Of a record, as it is looked up."""
    begin, _, rest = line.partition(_SIZE)
    if rest and begin.startswith(_FIRST) and b"\\" not in begin:
        return begin[len(_FIRST) : -1]
    try:
        key = json.loads(begin + b"}")["key"] if rest else None
    except (KeyError, TypeError, ValueError) as error:
        raise _unreadable(error) from error
    if not isinstance(key, str):
        raise _unreadable(ValueError("a line has no key"))
    return _place(key)


def _lines(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Blocks hold whole lines."""
    return (line for block in blocks for line in block.splitlines())


def _unreadable(error: Exception) -> errors.IntegrityError:
    return errors.IntegrityError(f"The index of a backup of files cannot be read ({error}); do not trust this backup, use another one.")
