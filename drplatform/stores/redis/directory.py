"""Redis without a server: a dump of the files that a dead server left, and a restore into files that a stock server starts from.

Chosen by the option `directory` of the endpoint. Offers what of `ports.DataStore` makes sense without a server; all else is a StoreError.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NoReturn

from drplatform.model import errors
from drplatform.model.backup import BASES, BackupKind, Digest
from drplatform.model.ledger import Mark
from drplatform.model.ports import Dump, DumpEnd, Endpoint, Marker, Part, Prober, Restore, RestoreEnd
from drplatform.model.position import Position
from drplatform.stores.redis import disk, rdb, stream
from drplatform.stores.redis.cache import State
from drplatform.stores.redis.snapshot import LEFT_OUT_PART, LOG_PART, PART
from drplatform.stores.redis.users import Users


class RedisDirectory:
    """See `ports.DataStore`. A restore writes the parts of Redis 7 and Valkey; with the option `aof` = `single`, the one file of Redis 6."""

    name = "redis"
    kind = "redis"
    ordered = True

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.path = Path(endpoint.options["directory"])
        self._in_parts = endpoint.options.get("aof") != "single"

    def identity(self) -> str:
        """Which directory this is, whatever it is called."""
        try:
            seen = self.path.stat()
        except OSError as error:
            raise errors.SettingsError(
                f"The directory {self.path} cannot be looked at ({error.strerror}); make or name another."
            ) from error
        return f"directory-{seen.st_dev:x}-{seen.st_ino:x}"

    def version(self) -> str:
        """The server that wrote the snapshot in it, as it says itself."""
        fields = disk.read(self.path).preface.fields if self.occupants() else {}
        return f"valkey {fields['valkey-ver']}" if "valkey-ver" in fields else f"redis {fields.get('redis-ver', 'of unknown version')}"

    def position(self) -> Position:
        """Where the files end: a history of their own, which no server's stream continues. Reads all of the log."""
        found = disk.read(self.path)
        return _end(found, sum(len(frame.data) for frame in stream.frames(found.log())))

    def occupants(self) -> tuple[str, ...]:
        self.identity()
        return disk.occupants(self.path)

    def dump(self) -> AbstractContextManager[Dump]:
        """Raises IntegrityError when files that belong together are missing, SettingsError when there are none."""
        return _dump(self.path)

    def restore(self) -> AbstractContextManager[Restore]:
        return _restore(self.path, self._in_parts)

    def digest(self) -> Mapping[str, Digest]:
        """None: values are not looked into without a server."""
        return {}

    def seed(self, seed: int, items: int) -> None:
        self._no_server()

    def marker(self, client: str) -> Marker:
        self._no_server()

    def marks(self) -> Iterator[Mark]:
        self._no_server()

    def prober(self, anchor: Mark, payload: bytes) -> Prober:
        self._no_server()

    def close(self) -> None:
        """Nothing is held between calls."""

    def _no_server(self) -> NoReturn:
        raise errors.StoreError(f"{self.path} is a directory, and nobody serves it; start a server on it and name its address.")


class DirectoryDump:
    """See `ports.Dump`. What was not usable is counted in the backup, named in a part of its own, and told again by a restore."""

    def __init__(self, path: Path) -> None:
        self._found = disk.read(path)
        self._snapshot_bytes = self._log_bytes = 0
        self._complete = set[str]()

    def parts(self) -> Iterator[Part]:
        yield Part(PART, 1, self._blocks)
        yield Part(LOG_PART, 2, self._log)
        yield Part(LEFT_OUT_PART, 3, self._left_out)

    def finish(self) -> DumpEnd:
        if self._complete != {PART, LOG_PART}:
            raise errors.IntegrityError("The files of Redis were not read to their end; take the backup again.")
        end = _end(self._found, self._log_bytes)
        counts = {"snapshot bytes": self._snapshot_bytes, "log bytes": self._log_bytes, "torn ends left out": len(self._found.left_out)}
        return DumpEnd(end, end, counts=counts)

    def _blocks(self) -> Iterator[bytes]:
        for block in self._found.blocks():
            self._snapshot_bytes += len(block)
            yield block
        self._complete.add(PART)

    def _log(self) -> Iterator[bytes]:
        for packed in self._found.log():
            self._log_bytes += sum(len(frame.data) for frame in stream.frames(iter([packed])))
            yield packed
        self._complete.add(LOG_PART)

    def _left_out(self) -> Iterator[bytes]:
        yield from (f"{words}\n".encode() for words in self._found.left_out)


class DirectoryRestore:
    """See `ports.Restore`. Until `finish` has returned, a server refuses to start from the directory, instead of starting empty."""

    def __init__(self, path: Path, in_parts: bool) -> None:
        self._files = disk.Writing(path, in_parts=in_parts)
        self._left_out, self._users = list[str](), Users()

    def load(self, kind: BackupKind, part: str, blocks: Iterator[bytes]) -> None:
        """Raises TargetRefused before anything is written when the directory holds anything of a server."""
        if kind not in BASES:
            raise errors.IntegrityError(f"A backup of Redis of kind {kind} is not the beginning of a restore; choose another one.")
        match part:
            case "rdb":
                self._files.snapshot(blocks)
            case "log":
                self._files.log(blocks, None)
            case "left-out":
                self._left_out += b"".join(blocks).decode().splitlines()
            case "users":
                self._users = Users.of(blocks)
            case "cache":
                State.of(blocks)  # files have no limit of memory; their server says at its start what it takes
            case _:
                raise errors.IntegrityError(f"A backup of Redis has no part {part!r}; this is not a backup of Redis.")

    def loaded(self, last: bool = False) -> None:
        """Raises RecoveryFailed when there was no snapshot."""
        assert self._files.reached

    def replay(self, blocks: Iterator[bytes], until: Position | None) -> None:
        self._files.log(blocks, until)

    def finish(self) -> RestoreEnd:
        """The users go into a file of their own, which the server must be told to read (`aclfile`), unless they are as on any new server."""
        if not self._users.only_fresh():
            self._files.users(self._users.lines())
        unread = f"the users (ACL), which are not in the backup: {self._users.unreadable}"
        return RestoreEnd(self._files.finish(), refused=tuple(self._left_out), left=(unread,) if self._users.unreadable else ())


@contextmanager
def _dump(path: Path) -> Iterator[DirectoryDump]:
    yield DirectoryDump(path)


@contextmanager
def _restore(path: Path, in_parts: bool) -> Iterator[DirectoryRestore]:
    yield DirectoryRestore(path, in_parts)


def _end(found: disk.Recovered, log_bytes: int) -> Position:
    preface: rdb.Preface = found.preface
    return Position(preface.timeline, (preface.offset + log_bytes,), found.modified)
