"""Having what a server holds on its disk, in whichever way it would start from."""

from collections.abc import Callable
from typing import TypeVar

from drplatform.model import errors
from drplatform.model.clock import Clock, wait_for
from drplatform.stores.redis import wire as wires
from drplatform.stores.redis.wire import Wire

PATIENCE = 120.0
"""Seconds without any progress after which the server is given up."""

SYNC_SECONDS = 5.0
"""Seconds for a server to sync its append-only file before it is made to write a new one."""

T = TypeVar("T")


def persist(admin: Wire, clock: Clock) -> None:
    """Have everything on the target's disk, in whichever way it would start from; nothing when it keeps nothing on disk.

    A server with `appendonly yes` starts from its append-only file alone, so a snapshot file beside it would be worth nothing.
    """
    if wires.setting(admin, "appendonly") == "yes":
        _appended(admin, clock)
    elif wires.setting(admin, "save"):
        _saved(admin, clock, "BGSAVE", "rdb_last_bgsave_status")


def progress(clock: Clock, what: str, look: Callable[[], T], done: Callable[[T], bool]) -> T:
    """Look until `done`, however long it takes, as long as something moves. Raises DeadlineExceeded after PATIENCE without."""
    seen = look()
    while not done(seen):
        before = seen
        seen = wait_for(clock, what, look, within=PATIENCE, every=0.005, until=lambda now, before=before: now != before)  # type: ignore[misc]
    return seen


def _appended(admin: Wire, clock: Clock) -> None:
    """A server rewrites its file by itself after it has loaded a snapshot; what came after that must be synced (WAITAOF, from 7.2)."""
    seen = _idle(admin, clock)
    usual = wires.setting(admin, "appendfsync")
    admin.call("CONFIG", "SET", "appendfsync", "always")
    (answer,) = admin.within(2 * SYNC_SECONDS).pipeline([("WAITAOF", 1, 0, int(SYNC_SECONDS * 1000))])
    admin.call("CONFIG", "SET", "appendfsync", usual)
    if isinstance(answer, wires.ErrorReply) or answer[0] < 1 or seen["aof_last_bgrewrite_status"] != "ok":
        _saved(admin, clock, "BGREWRITEAOF", "aof_last_bgrewrite_status")


def _saved(admin: Wire, clock: Clock, command: str, status: str) -> None:
    _idle(admin, clock)
    admin.within(30).call(command)
    seen = _idle(admin, clock)
    if seen[status] != "ok":
        raise errors.RecoveryFailed(
            f"The target holds the data but could not write it to its disk ({command} failed); look at its disk and log."
        )


def _idle(admin: Wire, clock: Clock) -> dict[str, str]:
    """Wait until no child process writes to disk any more."""
    flags = ("rdb_bgsave_in_progress", "aof_rewrite_in_progress", "aof_rewrite_scheduled")

    def look() -> dict[str, str]:
        return wires.info(admin.within(30), "persistence")

    return progress(clock, "the target to write to its disk", look, lambda seen: all(seen[flag] == "0" for flag in flags))
