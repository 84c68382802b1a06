"""Who restores into a replica set, and how far that came: kept in the target itself, so that both are lost or kept together.

`drplatform.restoring` holds one document for the restore (its plan, its owner, a beat that moves while the owner lives, its stage) and one
for each part of which blocks are loaded. It is there from the first moment of a restore to its last: what has one is unfinished.
"""

import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from drplatform.model import errors
from drplatform.model.clock import Clock
from drplatform.stores.mongodb import catalogue, namespaces
from drplatform.stores.mongodb.contents import Tally
from drplatform.stores.mongodb.wire import UNAUTHORIZED, ServerError, Wire

CREATING, DATA, SETTLING, CHANGING, INDEXING, REPLAYING = "creating", "data", "settling", "changing", "indexing", "replaying"
"""The stages of a restore. CHANGING: collections are made, renamed or dropped, or an increment is loaded."""
RESUMABLE = frozenset({DATA, SETTLING, INDEXING, REPLAYING})
"""What was cut off in one of these can be gone on with; anything else begins anew."""
BEAT_SECONDS = 0.5
_STILL_SECONDS = 3.0
"""So long a beat must not move before its owner counts as gone."""
_DATABASE, _COLLECTION = namespaces.split(namespaces.RESTORING)
_LEASE = "restore"
SEED = "seed64"
"""The note of the seed of all fingerprints: see `fingerprint`."""
_DUPLICATE_KEY = 11000


def unfinished(wire: Wire) -> str:
    """The plan of the restore that is unfinished here; empty when none is."""
    found = _read(wire)
    return str(found["plan"]) if found else ""


def halfway(wire: Wire) -> str:
    """The same of one that is not beside what was there before; empty also for an account that may not see."""
    try:
        found = _read(wire)
    except ServerError as error:
        if error.code != UNAUTHORIZED:
            raise
        return ""
    return str(found["plan"]) if found and not found.get("beside") else ""


@contextmanager
def held(wire: Wire, clock: Clock, plan: str, resume: bool, beside: bool = False) -> Iterator["Lease"]:
    """Hold the target for a restore. Raises TargetRefused when another is at work, or left something and `resume` is False.

    `beside`: of what was chosen, beside what is there.
    """
    lease = _acquire(wire, clock, plan, resume, beside)
    stop = threading.Event()
    beating = threading.Thread(target=lease.beat, args=(stop,), name="restore-lease", daemon=True)
    beating.start()
    try:
        yield lease
    except errors.NothingTouched:
        if not (lease.found or lease.made):
            lease.release()
        raise
    finally:
        stop.set()
        beating.join()


@dataclass
class Lease:
    """`found` is the stage in which an earlier attempt was cut off; empty when this is the first. `blocks`: by part, how many it loaded, and
    `tallies`: what these hold; `made`: the collections that were made beside what was there; `notes`: what was noted with the stage."""

    wire: Wire
    clock: Clock
    owner: str
    found: str = ""
    expiry: bool = True
    blocks: dict[str, int] = field(default_factory=dict)
    tallies: dict[str, Tally] = field(default_factory=dict)
    made: set[str] = field(default_factory=set)
    notes: dict[str, Any] = field(default_factory=dict)
    lost: bool = False

    def beat(self, stop: threading.Event) -> None:
        """The body of a thread: show that the owner lives, and note when it is the owner no more."""
        while not self.clock.wait(stop, BEAT_SECONDS) and not self.lost:
            try:
                with self.wire.another() as wire:
                    while not self.lost and not self.clock.wait(stop, BEAT_SECONDS):
                        self.lost = not self._update(wire, {"$inc": {"beat": 1}})
            except errors.StoreError:
                continue  # the restore itself meets the same, and says so

    def require(self) -> None:
        """Raises RecoveryFailed when another restore has taken over."""
        if self.lost:
            raise errors.RecoveryFailed("Another restore has taken over this MongoDB while this one stood still; leave it to that.")

    def enter(self, stage: str, **notes: Any) -> None:
        self.require()
        self.lost = not self._update(self.wire, {"$set": {"stage": stage, **notes}})
        self.require()
        self.notes.update(notes)

    def forget_blocks(self) -> None:
        """Begin anew."""
        self.blocks.clear()
        self.tallies.clear()
        self.notes = {name: noted for name, noted in self.notes.items() if name == "shared"}  # that was before the first attempt
        self.found = ""
        self.wire.call(_DATABASE, {"delete": _COLLECTION, "deletes": [{"q": {"_id": {"$ne": _LEASE}}, "limit": 0}]})

    def make(self, namespace: str) -> None:
        """Note, before it is there, that a collection is made beside what was there."""
        self.require()
        self.made.add(namespace)
        self._update(self.wire, {"$addToSet": {"made": namespace}})

    def loaded(self, wire: Wire, part: str, blocks: int, tally: Tally) -> None:
        """Note that so many blocks of the part are in, and what they hold."""
        self.require()
        change = {"q": {"_id": f"part {part}"}, "u": {"$set": {"blocks": blocks, "tally": tally.told()}}, "upsert": True}
        wire.call(_DATABASE, {"update": _COLLECTION, "updates": [change], "writeConcern": {"w": 1}})  # lost only with the data before it

    def release(self) -> None:
        """The restore is finished."""
        self.require()
        self.wire.call(_DATABASE, {"drop": _COLLECTION, "writeConcern": {"w": "majority"}})

    def _update(self, wire: Wire, change: dict[str, Any]) -> bool:
        mine = {"q": {"_id": _LEASE, "owner": self.owner}, "u": change}
        return bool(wire.call(_DATABASE, {"update": _COLLECTION, "updates": [mine], "writeConcern": {"w": 1}})["n"])


def _acquire(wire: Wire, clock: Clock, plan: str, resume: bool, beside: bool) -> Lease:
    owner = secrets.token_hex(8)
    expiry = bool(wire.call("admin", {"getParameter": 1, "ttlMonitorEnabled": 1})["ttlMonitorEnabled"])
    document = {"_id": _LEASE, "plan": plan, "owner": owner, "beat": 0, "stage": CREATING, "expiry": expiry, "beside": beside}
    answer = wire.call(_DATABASE, {"insert": _COLLECTION, "documents": [document]})
    refused = answer.get("writeErrors", [])
    if not refused:
        return Lease(wire, clock, owner, expiry=expiry)
    if refused[0]["code"] != _DUPLICATE_KEY:
        raise errors.StoreError(f"MongoDB at {wire.address} does not take the note of a restore: {refused[0]['errmsg']}.")
    return _take_over(wire, clock, plan, owner, resume)


def _take_over(wire: Wire, clock: Clock, plan: str, owner: str, resume: bool) -> Lease:
    before = _still(wire, clock)
    if not resume:
        raise errors.TargetRefused(
            f"MongoDB at {wire.address} holds an unfinished restore ({before['plan']}); go on with it by --resume. Nothing was touched."
        )
    if before["plan"] != plan:
        raise errors.TargetRefused(
            f"MongoDB at {wire.address} holds an unfinished restore of something else ({before['plan']}, not {plan}); name the same "
            f"recovery point with --to, restore into a fresh one, or give it up by dropping {namespaces.RESTORING}. Nothing was touched."
        )
    old = {"q": {"_id": _LEASE, "owner": before["owner"], "beat": before["beat"]}, "u": {"$set": {"owner": owner}}}
    if not wire.call(_DATABASE, {"update": _COLLECTION, "updates": [old]})["n"]:
        raise _at_work(wire)
    parts = list(wire.documents(_DATABASE, {"find": _COLLECTION, "filter": {"_id": {"$regex": "^part "}}}))
    blocks = {part["_id"].removeprefix("part "): int(part["blocks"]) for part in parts}
    seed = before.get(SEED)
    tallies = {part["_id"].removeprefix("part "): Tally.read(part["tally"], seed) for part in parts} if seed is not None else {}
    return Lease(wire, clock, owner, before["stage"], before["expiry"], blocks, tallies, set(before.get("made", ())), before)


def _still(wire: Wire, clock: Clock) -> dict[str, Any]:
    """The note of a restore whose owner is gone. Raises TargetRefused when it lives."""
    first, until = _read(wire), clock.monotonic() + _STILL_SECONDS
    never = threading.Event()
    while clock.monotonic() < until:
        seen = _read(wire)
        if first is None or seen is None or (seen["owner"], seen["beat"]) != (first["owner"], first["beat"]):
            raise _at_work(wire)
        clock.wait(never, BEAT_SECONDS / 2)
    assert first is not None  # else it was raised
    return first


def _at_work(wire: Wire) -> errors.TargetRefused:
    return errors.TargetRefused(f"Another restore into MongoDB at {wire.address} is at work; wait for its end. Nothing was touched.")


def _read(wire: Wire) -> dict[str, Any] | None:
    found: list[dict[str, Any]] = wire.call(_DATABASE, {"find": _COLLECTION, "filter": {"_id": _LEASE}})["cursor"]["firstBatch"]
    return found[0] if found else None


def wipe(wire: Wire) -> None:
    """Drop what an unfinished restore has left, so that it can begin anew."""
    for database in catalogue.databases(wire):
        if database == _DATABASE:
            _drop_others(wire)
        elif database not in ("admin", "local", "config"):
            wire.call(database, {"dropDatabase": 1})
    for name in wire.documents("admin", {"listCollections": 1, "nameOnly": True}):
        if namespaces.user(f"admin.{name['name']}"):
            wire.call("admin", {"drop": name["name"]})


def _drop_others(wire: Wire) -> None:
    for name in list(wire.documents(_DATABASE, {"listCollections": 1, "nameOnly": True})):
        if name["name"] != _COLLECTION:
            wire.call(_DATABASE, {"drop": name["name"]})
