"""Replication of buckets from a primary to a secondary store by a follower of our own, for servers that have none.

Lists the source again and again, copies what is new or changed, and deletes in the target what is gone from the source. It keeps no state
across starts: what was written and deleted while it was off is found by comparing the two listings.
Lag is taken between the source's own time stamps and our clock, so it holds their difference, too.
"""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from drplatform.model import errors
from drplatform.model.clock import Clock
from drplatform.stores.files import arrival, content, digest, grants, listing
from drplatform.stores.files.content import Header
from drplatform.stores.files.index import Known, Record

_FOUND = "found in the target"
SLACK = 2.0
"""Seconds by which the two servers' clocks may differ, and time stamps are rounded."""


@dataclass(frozen=True)
class Pass:
    """One look at the whole source. `as_of`: all that was written or deleted before is in the target; None before the first whole pass.

    `lags`: for each object copied, seconds from its last change in the source to its being in the target, sorted. `delete_lag`: at the most
    so many seconds lay between a deletion in the source and that in the target, 0 without one. `refused`: what the target does not take.
    `problem`: why the pass is not whole; empty when it is.
    """

    as_of: datetime | None
    copied: int = 0
    bytes: int = 0
    deleted: int = 0
    lags: tuple[float, ...] = ()
    delete_lag: float = 0.0
    refused: tuple[str, ...] = ()
    problem: str = ""


def follow(
    source: Any,
    target: Any,
    buckets: tuple[str, ...],
    clock: Clock,
    stop: threading.Event,
    every: float,
    in_step_until: datetime | None = None,
) -> Iterator[Pass]:
    """A pass at least every `every` seconds until `stop` is set. An unreachable server is a problem of the pass; the next one tries again.

    The two were in step at `in_step_until`, whichever of them led then: what has equal content and is not younger is not copied again.
    """
    with Known() as known:
        follower = _Follower(source, target, buckets, clock, known, in_step_until.timestamp() if in_step_until else 0.0)
        while not stop.is_set():
            yield follower.look()
            clock.wait(stop, every)


def newer(source: Any, target: Any, buckets: tuple[str, ...]) -> tuple[str, ...]:
    """Objects of the target (bucket/key) that the source has not, written later than everything in the source."""
    with Known() as known:
        newest = 0.0
        for bucket in buckets:
            for entry in _seen(listing.protected(source, bucket), bucket, known):
                newest = max(newest, entry.modified)
        found = ((bucket, entry) for bucket in buckets for entry in listing.protected(target, bucket) if entry.modified > newest + SLACK)
        return tuple(f"{bucket}/{entry.key}" for bucket, entry in found if not known.holds(bucket, entry.key))


class _Follower:
    """`known`: what the target holds, with the headers of the source."""

    def __init__(self, source: Any, target: Any, buckets: tuple[str, ...], clock: Clock, known: Known, in_step_until: float) -> None:
        self._in_step_until = in_step_until
        self._source, self._target, self._buckets, self._clock, self._known = source, target, buckets, clock, known
        self._lock = threading.Lock()
        self._as_of: datetime | None = None
        self._ready = False
        self._listed = frozenset[str]()

    def look(self) -> Pass:
        begin = self._clock.utc()
        self._lags, self._bytes, self._deleted, self._refused = list[float](), 0, 0, list[str]()
        problem = ""
        try:
            self._learn()
            for bucket in self._buckets:
                self._bring(bucket)
            earlier, self._as_of = self._as_of or begin, begin
        except errors.StoreError as error:
            earlier, problem = self._as_of or begin, str(error)
        delete_lag = (self._clock.utc() - earlier).total_seconds() if self._deleted else 0.0
        lags, refused = tuple(sorted(self._lags)), tuple(sorted(self._refused))
        return Pass(self._as_of, len(lags), self._bytes, self._deleted, lags, delete_lag, refused, problem)

    def _learn(self) -> None:
        """What the target holds before the first pass. Its time stamps are its own: a copy is later than what it was copied from."""
        if not self._ready:
            self._listed = frozenset(bucket for bucket in self._buckets if grants.in_use(self._source, bucket))
            for bucket in self._buckets:
                self._known.add(bucket, (_found(entry) for entry in listing.protected(self._target, bucket)))
            self._ready = True

    def _bring(self, bucket: str) -> None:
        with Known() as seen:
            changed = (entry for entry in _seen(listing.protected(self._source, bucket), bucket, seen) if self._is_new(bucket, entry))
            for _ in digest.in_parallel(changed, lambda entry: self._copy(bucket, entry)):
                pass
            gone = (key for key in self._known.keys(bucket) if not seen.holds(bucket, key))
            for key in gone:
                self._deleted += arrival.delete(self._target, bucket, iter([key]))
                self._known.remove(bucket, key)

    def _is_new(self, bucket: str, entry: listing.Entry) -> bool:
        record = self._known.find(bucket, entry.key)
        if record is None:
            return True
        if record.sha256 != _FOUND:
            return not record.is_of(entry)
        copied_at = max(datetime.fromisoformat(record.header.modified).timestamp(), self._in_step_until)
        return (record.header.size, record.header.etag) != (entry.size, entry.etag) or entry.modified > copied_at

    def _copy(self, bucket: str, entry: listing.Entry) -> None:
        """An object that is gone meanwhile is not copied; the next pass does not see it any more."""
        events = content.read(self._source, bucket, entry, listed=bucket in self._listed)
        for one in arrival.arrive(self._target, bucket, events):
            self._known.add(bucket, [Record(one.header, one.sha256, "")])
            lag = self._clock.utc().timestamp() - entry.modified
            with self._lock:
                self._lags.append(lag)
                self._bytes += one.header.size
                self._refused += [f"{bucket}/{words}" for words in (one.refusal, one.lacks) if words]


def _seen(entries: Iterator[listing.Entry], bucket: str, seen: Known) -> Iterator[listing.Entry]:
    for entry in entries:
        seen.note(bucket, entry.key)
        yield entry


def _found(entry: listing.Entry) -> Record:
    modified = datetime.fromtimestamp(entry.modified, UTC).isoformat()
    return Record(Header(entry.key, entry.size, entry.etag, modified, ""), _FOUND, "")
