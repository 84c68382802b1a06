"""Restoring over the network: the target replicates from us, takes the snapshot and the stream up to the chosen offset, and is promoted.

Nothing is needed on the target but the right to CONFIG, REPLICAOF and BGSAVE, and to ACL for its users. It is left a primary, with everything on its disk if it
keeps anything on disk at all, and its settings as they were. One that was killed left a note (`note`), by which the next begins anew.
"""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from drplatform.model import errors
from drplatform.model.backup import BackupKind, Digest
from drplatform.model.clock import Clock, wait_for
from drplatform.model.ports import Address, Endpoint, RestoreEnd
from drplatform.model.position import Position
from drplatform.stores.redis import cache, content, digest, rdb, stream, target, users
from drplatform.stores.redis import note as notes
from drplatform.stores.redis import wire as wires
from drplatform.stores.redis.note import Note
from drplatform.stores.redis.persistence import PATIENCE, persist, progress
from drplatform.stores.redis.snapshot import CACHE_PART, LEFT_OUT_PART, LOG_PART, PART, USERS_PART
from drplatform.stores.redis.source import Source
from drplatform.stores.redis.wire import Wire


class RedisRestore:
    """Used by one thread at a time."""

    settled = False

    def __init__(self, endpoint: Endpoint, clock: Clock, plan: str, again: bool) -> None:
        self._endpoint, self._clock, self._plan, self._again = endpoint, clock, plan, again
        self._admin = wires.dial(endpoint, clock)
        self._source: Source | None = None
        self._settings = dict[str, str]()
        self._reached: Position | None = None
        self._promoted = False
        self._left_out = list[str]()
        self._users: users.Users | None = None
        self._wanted: cache.State | None = None
        self._before: cache.State | None = None

    def load(self, kind: BackupKind, part: str, blocks: Iterator[bytes]) -> None:
        """Raises TargetRefused before the target is touched when it is not empty, not a lone primary, or older than the snapshot."""
        if part not in (CACHE_PART, PART, LOG_PART, LEFT_OUT_PART, USERS_PART) or kind not in (BackupKind.SNAPSHOT, BackupKind.FULL):
            raise errors.IntegrityError(f"A backup of Redis has no part {part!r} of kind {kind}; this is not a backup of Redis.")
        if part == PART:
            self._load_snapshot(blocks)
        elif part == LOG_PART:
            self.replay(blocks, None)
        elif part == USERS_PART:
            self._users = users.Users.of(blocks)
        elif part == CACHE_PART:
            self._wanted = cache.State.of(blocks)
        else:
            self._left_out += b"".join(blocks).decode().splitlines()

    def done(self, part: str) -> int:
        """Nothing: a restore that was cut off begins anew."""
        return 0

    def _load_snapshot(self, blocks: Iterator[bytes]) -> None:
        preface, content_blocks = rdb.opened(blocks)
        self._take_over()
        target.refuse_wrong(self._admin, self._clock, preface, self._wanted)
        self._before = cache.read(self._admin)
        self._attach(preface)
        self._send_checked(content_blocks)
        self._following.end_of_snapshot()
        self._await_takeover()
        self._compare_counts(preface.offset)
        self._reached = Position(preface.timeline, (preface.offset,), float(preface.fields.get("ctime", 0)))

    def _send_checked(self, blocks: Iterator[bytes]) -> None:
        """The last block only when all are known to be whole: what breaks off leaves a target empty, a wrong checksum would end its process."""
        held = b""
        for block in rdb.checked(blocks):
            self._following.send(held)
            held = block
        self._following.send(held)

    def loaded(self, last: bool = False) -> None:
        """Nothing is built after the data: the target has loaded it when `load` returns."""
        self._loaded_position()

    def replay(self, blocks: Iterator[bytes], until: Position | None) -> None:
        """Raises LogGap when the stream does not go on where the snapshot ends, or ends before `until`."""
        reached = self._loaded_position()
        for piece in stream.after(blocks, reached, until):
            self._following.send(piece.data)
            self._reached = piece.last

    def finish(self) -> RestoreEnd:
        reached = self._loaded_position()
        self._await_offset(reached.sequence[0])
        self._left_out += _refused(self._admin)
        self._promote()
        with ThreadPoolExecutor(1) as beside:
            writing = beside.submit(persist, self._admin, self._clock)
            digests = digest.of_databases(self._endpoint, self._clock)
            writing.result()
        found = users.bring_back(self._admin, self._users, self._again) if self._users else users.Outcome()
        digests |= digest.of_users(self._endpoint, self._clock)
        refused = (*self._left_out, *self._spoiled(), *found.refused)
        return RestoreEnd(reached, digests, _counts(digests, self._admin), refused, (*found.left, *self._another_cache()))

    def leave(self) -> None:
        """Leave the target alone: also after a failure it follows nobody, and has its settings back."""
        if self._source is not None and not self._promoted:
            self._source.close()  # while it waits for more of the snapshot, the target answers nobody
            self._admin.close()  # an answer may still be under way on it
            self._admin = wires.dial(self._endpoint, self._clock)
            self._promote()

    def close(self) -> None:
        if self._source is not None:
            self._source.close()
        self._admin.close()

    @property
    def _following(self) -> Source:
        if self._source is None:
            raise errors.RecoveryFailed("No snapshot was loaded; a log alone restores nothing.")
        return self._source

    def _loaded_position(self) -> Position:
        if self._reached is None:
            raise errors.RecoveryFailed("No snapshot was loaded; a log alone restores nothing.")
        return self._reached

    def _take_over(self) -> None:
        """Clear away what a restore left that was cut off. Raises TargetRefused when that was not asked for, or one is at work."""
        left = notes.unfinished(self._admin)
        if left is None:
            return
        if not self._again:
            raise errors.TargetRefused(
                f"The target holds a restore that is at work or was cut off ({left.plan}); begin it anew by --resume."
            )
        notes.take_away(self._admin, left)
        if left.had_password:
            self._left_out.append("the setting masterauth, which the restore that was cut off had replaced; set it again")

    def _attach(self, preface: rdb.Preface) -> None:
        """Make the target follow us, and load the snapshot as it comes instead of writing it to its disk first: it is empty.

        It may hear nothing for long while chunks are fetched, so it is told to be patient. Where it keeps nothing on disk, the snapshot that it
        received must not stay there either: it would start from that, without the stream.
        """
        self._source = Source(self._source_host(), self._clock, int(self._endpoint.options.get("source_port", 0)))
        self._change({"repl-timeout": "86400", "rdb-del-sync-files": "yes", "repl-diskless-load": "on-empty-db"})
        had_password, user = bool(wires.setting(self._admin, "masterauth")), wires.setting(self._admin, notes.NAME)
        note = Note(self._plan, {**self._settings, notes.NAME: "" if Note.of(user) else user}, had_password)
        self._change({"masterauth": self._source.password, notes.NAME: note.text()})
        self._settings[notes.NAME] = note.settings[notes.NAME]
        told = self._told(self._source.address)
        self._admin.within(30).call("REPLICAOF", told.host, told.port)
        self._source.admit(preface.timeline, preface.offset)

    def _source_host(self) -> str:
        return self._endpoint.options.get("source_bind") or str(self._admin.socket.getsockname()[0])

    def _told(self, bound: Address) -> Address:
        """Where the target finds us: behind network address translation that differs from where we listen (`source_host`)."""
        return Address(self._endpoint.options.get("source_host", bound.host), bound.port)

    def _change(self, settings: Mapping[str, str]) -> None:
        for name, value in settings.items():
            self._settings[name] = wires.setting(self._admin, name)
            self._admin.call("CONFIG", "SET", name, value)

    def _compare_counts(self, offset: int) -> None:
        """With what the source held at the offset of the snapshot, if it was still there when it was asked."""
        now = cache.read(self._admin.within(30))
        if now and self._wanted and self._wanted.offset == offset:
            self._left_out += cache.unequal(now, self._wanted)

    def _spoiled(self) -> Iterator[str]:
        now = cache.read(self._admin.within(30))
        return cache.spoiled(self._before, now) if now and self._before else iter(())

    def _another_cache(self) -> Iterator[str]:
        return cache.another_cache(self._before, self._wanted) if self._before and self._wanted else iter(())

    def _await_takeover(self) -> None:
        """Wait until the target has loaded the snapshot; while it loads, its progress is what counts."""

        def look() -> tuple[bool, str]:
            return self._following.taken_over(0.05), _loading(self._admin)

        progress(self._clock, "the target to load the snapshot", look, lambda seen: seen[0])

    def _await_offset(self, offset: int) -> None:
        def look() -> int:
            return int(self._replication().get("slave_repl_offset", -1))

        progress(self._clock, f"the target to apply the stream up to offset {offset}", look, lambda seen: seen >= offset)

    def _replication(self) -> dict[str, str]:
        seen = wires.info(self._admin.within(30), "replication")
        if seen.get("role") == "slave" and seen.get("master_link_status") != "up":
            raise errors.RecoveryFailed("The target lost its connection to the restore; its log says why; restore into a fresh one.")
        return seen

    def _promote(self) -> None:
        _leave_source(self._admin, self._clock)
        for name, value in self._settings.items():
            self._admin.call("CONFIG", "SET", name, value)
        role = wires.info(self._admin, "replication")["role"]
        if role != "master":
            raise errors.RecoveryFailed(f"The target did not become a primary (its role is {role}); look into its log.")
        self._promoted = True


@contextmanager
def restore(endpoint: Endpoint, clock: Clock, plan: str, again: bool) -> Iterator[RedisRestore]:
    running = RedisRestore(endpoint, clock, plan, again)
    try:
        yield running
        running.leave()
    except BaseException as first:
        _abandon(running, first)
        raise
    finally:
        running.close()


def _abandon(running: RedisRestore, first: BaseException) -> None:
    """What went wrong first is what counts; that the target could not be left either is added to it."""
    try:
        running.leave()
    except errors.DrplatformError as second:
        first.add_note(f"The target could not be detached from the restore either: {second}")


def _leave_source(admin: Wire, clock: Clock) -> None:
    """While it loads a snapshot, the target obeys nobody; that ends."""

    def look() -> bool:
        (answer,) = admin.within(30).pipeline([("REPLICAOF", "NO", "ONE")])
        if isinstance(answer, wires.ErrorReply) and answer.code != "LOADING":
            raise answer
        return not isinstance(answer, wires.ErrorReply)

    wait_for(clock, "the target to become a primary", look, within=PATIENCE)


def _loading(admin: Wire) -> str:
    seen = wires.info(admin.within(PATIENCE), "persistence")
    return f"loading {seen.get('loading')}, {seen.get('loading_loaded_bytes', 0)} bytes"


def _refused(admin: Wire) -> tuple[str, ...]:
    """A replica carries on when it cannot execute what its source sends, and only counts that."""
    count = int(wires.info(admin, "stats").get("unexpected_error_replies", 0))
    return (f"{count} operations of the stream that the target answered with an error",) if count else ()


def _counts(digests: Mapping[str, Digest], admin: Wire) -> dict[str, int]:
    return {**{name: found.items for name, found in digests.items()}, **content.keys(admin)}
