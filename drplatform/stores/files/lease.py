"""Who restores into the buckets: a note in the first of them, from the first moment of a restore to its last. What has one is unfinished.

It is written only as long as it is what was last seen of it (`If-None-Match`, `If-Match`), so that of several restores one wins; a beat moves
in it while its owner lives. In a bucket that keeps versions the old ones of it go at the end.
"""

import json
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from drplatform.model import errors
from drplatform.model.clock import Clock
from drplatform.stores.files import access, arrival, listing

BEAT_SECONDS = 1.0
STILL_SECONDS = 5.0
"""So long a beat must not move before its owner counts as gone."""
_UNKNOWN, _NAMELESS = "a restore that does not say which", "a restore without a plan"


@dataclass(frozen=True)
class Note:
    """Which restore, whose (a random name of one attempt), and how often its owner has shown that he lives."""

    plan: str
    owner: str
    beat: int = 0

    @classmethod
    def of(cls, body: bytes) -> "Note":
        """Whatever stands there is a note."""
        try:
            told = json.loads(body)
            return cls(str(told["plan"]) or _UNKNOWN, str(told["owner"]), int(told["beat"]))
        except (ValueError, TypeError, KeyError):
            return cls(_UNKNOWN, "")


def unfinished(s3: Any, bucket: str) -> str:
    """The plan of the restore that is unfinished here, whoever is at it; empty when none is."""
    found = _read(s3, bucket)
    return found[0].plan if found else ""


def left(s3: Any, bucket: str, clock: Clock) -> bool:
    """Whether a restore was cut off here. Raises TargetRefused when it is at work."""
    return _still(s3, bucket, clock) is not None


def forget(s3: Any, bucket: str) -> str:
    """Take the note away, in all its versions or (where a lock holds these) as it stands; in words when neither is allowed."""
    for take_away in (
        lambda: arrival.wipe(s3, bucket, listing.RESTORING.__eq__, listing.RESTORING),
        lambda: arrival.delete(s3, bucket, iter([listing.RESTORING])),
    ):
        try:
            take_away()
        except errors.StoreError as error:
            if not access.is_forbidden(error.__cause__):
                raise
        if not unfinished(s3, bucket):
            return ""
    return f"{bucket}: {listing.RESTORING} may not be deleted; the restore is finished all the same, delete it"


@contextmanager
def held(s3: Any, bucket: str, clock: Clock, plan: str, again: bool) -> Iterator["Lease"]:
    """Hold the buckets for a restore. Raises TargetRefused when another is at work, or left something and `again` is False."""
    lease = _acquire(s3, bucket, clock, plan or _NAMELESS, again)
    try:
        yield lease
    finally:
        lease.rest()


class Lease:
    """`found`: an earlier attempt left what is there."""

    def __init__(self, s3: Any, bucket: str, clock: Clock, note: Note, etag: str, *, found: bool) -> None:
        self._s3, self._bucket, self._clock, self._note, self._etag, self.found = s3, bucket, clock, note, etag, found
        self._lost = False
        self._stop = threading.Event()
        self._beating = threading.Thread(target=self._beat, name="restore-lease", daemon=True)
        self._beating.start()

    def require(self) -> None:
        """Raises RecoveryFailed when another restore has taken over."""
        if self._lost:
            raise errors.RecoveryFailed("Another restore has taken over these buckets, or this one was given up; leave them to that.")

    def release(self) -> str:
        """The restore is finished. Says in words what of the note could not be taken away. Raises RecoveryFailed when it is another's now."""
        self.rest()
        self._renew()
        self.require()
        return forget(self._s3, self._bucket)

    def rest(self) -> None:
        """Beat no more. Calling it again does nothing."""
        self._stop.set()
        self._beating.join()

    def _beat(self) -> None:
        while not self._lost and not self._clock.wait(self._stop, BEAT_SECONDS):
            try:
                self._renew()
            except errors.StoreError:
                continue  # the restore itself meets the same, and says so

    def _renew(self) -> None:
        fresh = replace(self._note, beat=self._note.beat + 1)
        etag = _write(self._s3, self._bucket, fresh, IfMatch=self._etag)
        if etag:
            self._note, self._etag = fresh, etag
            return
        seen = _read(self._s3, self._bucket)
        if seen and seen[0].owner == self._note.owner:
            self._note, self._etag = seen  # a write of ours that was repeated had arrived the first time
        else:
            self._lost = True


def _acquire(s3: Any, bucket: str, clock: Clock, plan: str, again: bool) -> Lease:
    mine = Note(plan, secrets.token_hex(8))
    etag = _write(s3, bucket, mine, IfNoneMatch="*")
    if not etag and (there := _read(s3, bucket)) and there[0] == mine:
        etag = there[1]  # it was repeated, and had arrived the first time
    if etag:
        return Lease(s3, bucket, clock, mine, etag, found=False)
    before = _still(s3, bucket, clock)
    if before is None:
        raise _at_work()
    note, seen = before
    if not again:
        raise errors.TargetRefused(f"The target holds an unfinished restore ({note.plan}); begin it anew by --resume. Nothing was touched.")
    if note.plan != plan:
        raise errors.TargetRefused(
            f"The target holds an unfinished restore of something else ({note.plan}, not {plan}); name the same recovery point with --to, "
            f"restore into fresh buckets, or give it up by deleting {bucket}/{listing.RESTORING}. Nothing was touched."
        )
    if etag := _write(s3, bucket, mine, IfMatch=seen):
        return Lease(s3, bucket, clock, mine, etag, found=True)
    raise _at_work()


def _still(s3: Any, bucket: str, clock: Clock) -> tuple[Note, str] | None:
    """The note of a restore whose owner is gone, and its ETag; None when there is none. Raises TargetRefused when it lives."""
    first, until, never = _read(s3, bucket), clock.monotonic() + STILL_SECONDS, threading.Event()
    while first and clock.monotonic() < until:
        clock.wait(never, BEAT_SECONDS / 2)
        if _read(s3, bucket) != first:
            raise _at_work()
    return first


def _at_work() -> errors.TargetRefused:
    return errors.TargetRefused("Another restore into these buckets is at work; wait for its end. Nothing was touched.")


def _read(s3: Any, bucket: str) -> tuple[Note, str] | None:
    """The note and its ETag."""
    try:
        with access.doing(f"look for an unfinished restore in {bucket}"):
            answer = s3.get_object(Bucket=bucket, Key=listing.RESTORING)
            return Note.of(answer["Body"].read()), str(answer["ETag"])
    except errors.StoreError as error:
        if access.is_missing(error.__cause__) or access.code(error.__cause__) == "NoSuchBucket":
            return None
        raise


def _write(s3: Any, bucket: str, note: Note, **condition: str) -> str:
    """Its ETag; nothing when the condition does not hold. A server that does not have `If-Match` is asked before, which is nearly as good."""
    try:
        with access.doing(f"note the restore in {bucket}"):
            body = json.dumps(vars(note)).encode()
            return str(s3.put_object(Bucket=bucket, Key=listing.RESTORING, Body=body, **condition)["ETag"])
    except errors.StoreError as error:
        if access.is_changed(error.__cause__) or access.is_missing(error.__cause__):
            return ""
        if access.is_unknown(error.__cause__) and "IfMatch" in condition:
            seen = _read(s3, bucket)
            return _write(s3, bucket, note) if seen and seen[1] == condition["IfMatch"] else ""
        raise
