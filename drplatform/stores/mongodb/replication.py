"""Who serves in a replica set, how far the others are behind, and how another member takes over: by election, by force, by agreement.

A forced reconfiguration is for survivors that are no majority, and only after the lost members were fenced: it does not ask them.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from bson import Timestamp

from drplatform.model import errors
from drplatform.model.clock import wait_for
from drplatform.model.ports import Address
from drplatform.model.replication import Member, Replication, Role
from drplatform.stores.mongodb import wire as wires
from drplatform.stores.mongodb.members import Members, Stamp
from drplatform.stores.mongodb.wire import Wire

_LOOK_SECONDS = 1.0
SECONDS_TO_ELECT = 30.0
SECONDS_TO_AGREE = 10.0
"""How long a set may be without a primary before that is no election any more."""
MOST_COUNTED = 100_000
"""Operations behind are counted up to here."""
_SERVES, _FOLLOWS = 2.0, 0.5
"""Priorities after a change of place: whoever serves keeps serving."""
_FROZEN_SECONDS = 60
_FORCED = 1000
"""So much newer is a forced configuration than any that those left out can have made meanwhile."""


@dataclass(frozen=True)
class _Seen:
    """What `hello` said. `stamp`: the last operation that the member has."""

    address: Address
    role: Role
    stamp: Stamp | None = None
    written: datetime | None = None


def look(of: Members) -> Replication:
    """What the members say now; operations behind are counted in the oplog of the one that knows most."""
    seen = [_seen(of, address) for address in of.endpoint.addresses]
    newest = max((s for s in seen if s.stamp and s.written), key=lambda s: s.stamp or (0, 0), default=None)
    return Replication("mongodb", tuple(_member(of, s, newest) for s in seen))


def promote(of: Members, survivors: tuple[Address, ...]) -> Address:
    """By election where the survivors are a majority, else by force on the one that knows most. Raises RecoveryFailed."""
    if not any(s.role is Role.PRIMARY for s in _all_seen(of, survivors)) and not _majority(of, survivors):
        _force(of, survivors)
    _thaw(of, survivors)
    return _await_primary(of, survivors)


def hand_over(of: Members, to: tuple[Address, ...], within: float) -> Address:
    """The primary steps down once a majority has all it has; the members not meant do not stand. Raises RecoveryFailed.

    Done again, it does what is left: one that was cut off may be between two primaries, and has left members that do not stand.
    """
    everyone = of.endpoint.addresses
    old = _primary(of, everyone)
    if old not in to:
        for other in (s.address for s in _all_seen(of, everyone) if s.role is Role.SECONDARY):
            _ask(of, other, {"replSetFreeze": 0 if other in to else _FROZEN_SECONDS})
        _ask(of, old, {"replSetStepDown": _FROZEN_SECONDS, "secondaryCatchUpPeriodSecs": max(1, int(within))})
    new = _await_primary(of, to)
    _prefer(of, to)
    _thaw(of, everyone)
    return new


# -- looking


def _serving(of: Members, among: Iterable[Address]) -> Address | None:
    """Which of these is primary now; None when none is."""
    return next((s.address for s in _all_seen(of, among) if s.role is Role.PRIMARY), None)


def _primary(of: Members, among: tuple[Address, ...]) -> Address:
    """Raises RecoveryFailed when they elect none in a while."""

    try:
        found = wait_for(of.clock, "MongoDB to have a primary", partial(_serving, of, among), within=SECONDS_TO_AGREE)
    except errors.DeadlineExceeded as error:
        raise errors.RecoveryFailed("MongoDB has no primary that could hand over; fail over instead.") from error
    assert found
    return found


@contextlib.contextmanager
def _at(of: Members, address: Address) -> Iterator[Wire]:
    with wires.dial(address, of.clock, of.endpoint, _LOOK_SECONDS) as wire:
        yield wire


def _seen(of: Members, address: Address) -> _Seen:
    try:
        with _at(of, address) as wire:
            hello = wire.within(_LOOK_SECONDS).call("admin", {"hello": 1})
    except wires.ConnectionLost:
        return _Seen(address, Role.UNREACHABLE)
    last = hello.get("lastWrite")
    role = Role.PRIMARY if hello["isWritablePrimary"] else Role.SECONDARY if hello.get("secondary") else Role.OTHER
    if not last:
        return _Seen(address, role)
    stamp = last["opTime"]["ts"]
    return _Seen(address, role, (stamp.time, stamp.inc), last["lastWriteDate"])


def _all_seen(of: Members, addresses: Iterable[Address]) -> list[_Seen]:
    return [_seen(of, address) for address in addresses]


def _member(of: Members, seen: _Seen, newest: _Seen | None) -> Member:
    if seen.stamp is None or seen.written is None or newest is None or newest.written is None:
        return Member(str(seen.address), seen.role)
    lag = max(0.0, (newest.written - seen.written).total_seconds())
    behind = 0 if seen.stamp == newest.stamp else _behind(of, newest.address, seen.stamp)
    return Member(str(seen.address), seen.role, seen.stamp, lag, behind)


def _behind(of: Members, address: Address, stamp: Stamp) -> int | None:
    try:
        with _at(of, address) as wire:
            query = {"count": "oplog.rs", "query": {"ts": {"$gt": Timestamp(*stamp)}}, "limit": MOST_COUNTED}
            return int(wire.call("local", query)["n"])
    except errors.StoreError:
        return None


def _config(of: Members, address: Address) -> dict[str, Any]:
    with _at(of, address) as wire:
        config: dict[str, Any] = wire.call("admin", {"replSetGetConfig": 1})["config"]
        return config


def _majority(of: Members, survivors: tuple[Address, ...]) -> bool:
    """Whether the survivors that answer may elect by the configuration that the newest of them has."""
    answering = {str(s.address) for s in _all_seen(of, survivors) if s.role is not Role.UNREACHABLE}
    config = _config(of, _most(of, survivors))
    votes = {m["host"]: int(m.get("votes", 1)) for m in config["members"]}
    return 2 * sum(votes.get(host, 0) for host in answering) > sum(votes.values())


def _most(of: Members, survivors: tuple[Address, ...]) -> Address:
    """The survivor that knows most."""
    seen = [s for s in _all_seen(of, survivors) if s.stamp]
    if not seen:
        raise errors.RecoveryFailed(f"No MongoDB member answers at {', '.join(map(str, survivors))}; restore from a backup instead.")
    return max(seen, key=lambda s: s.stamp or (0, 0)).address


# -- changing


def _ask(of: Members, address: Address, command: dict[str, Any]) -> None:
    try:
        with _at(of, address) as wire:
            wire.within(SECONDS_TO_ELECT).call("admin", command)
    except wires.ServerError as error:
        raise errors.RecoveryFailed(f"{error} The old primary serves on; mend its secondaries and try again.") from error
    except wires.ConnectionLost:
        pass  # a member that steps down may close its connections; what came of it is looked at


def _thaw(of: Members, members: tuple[Address, ...]) -> None:
    """Whoever stepped down, or was asked not to stand, may stand again: the next failure may be the new primary's."""
    for other in (s.address for s in _all_seen(of, members) if s.role is Role.SECONDARY):
        with contextlib.suppress(errors.RecoveryFailed):  # elected meanwhile
            _ask(of, other, {"replSetFreeze": 0})


def _force(of: Members, survivors: tuple[Address, ...]) -> None:
    chosen = _most(of, survivors)
    config = _config(of, chosen)
    hosts = {str(address) for address in survivors}
    config["members"] = [
        {**m, "votes": 1, "priority": max(float(m.get("priority", 1)), _FOLLOWS)} for m in config["members"] if m["host"] in hosts
    ]
    config["version"] += _FORCED
    _ask(of, chosen, {"replSetReconfig": config, "force": True})


def _await_primary(of: Members, among: tuple[Address, ...]) -> Address:
    """The one of these that is primary and has a write of its own taken by the majority."""

    try:
        found = wait_for(
            of.clock, f"a primary among {', '.join(map(str, among))}", partial(_serving, of, among), within=SECONDS_TO_ELECT, every=0.05
        )
        note = {"appendOplogNote": 1, "data": {"drplatform": "serves"}, "writeConcern": {"w": "majority", "wtimeout": 20_000}}
        assert found
        with _at(of, found) as wire:
            wire.call("admin", note)
    except errors.StoreError as error:
        raise errors.RecoveryFailed(f"MongoDB elected no primary that takes writes: {error}") from error
    return found


def _prefer(of: Members, chosen: tuple[Address, ...]) -> None:
    """Whoever serves keeps serving: the others get a lower priority. One that must never serve (0) stays so."""
    hosts = {str(address) for address in chosen}

    def preferred(config: dict[str, Any]) -> None:
        for member in config["members"]:
            if member["host"] in hosts:
                member["priority"] = _SERVES
            elif member.get("priority", 1) != 0:
                member["priority"] = _FOLLOWS

    reconfigure(of, chosen, preferred)


def reconfigure(of: Members, among: tuple[Address, ...], change: Callable[[dict[str, Any]], None]) -> None:
    """Change the configuration through the primary among these. Raises RecoveryFailed when it takes none."""

    def attempt() -> bool:
        primary = _serving(of, among)
        if primary is None:
            return False
        config = _config(of, primary)
        change(config)
        config["version"] += 1
        with _at(of, primary) as wire:
            wire.call("admin", {"replSetReconfig": config})
        return True

    try:
        wait_for(of.clock, "MongoDB to take a new configuration", attempt, within=SECONDS_TO_ELECT, ignoring=(errors.StoreError,))
    except errors.DeadlineExceeded as error:
        raise errors.RecoveryFailed(f"{error} Are most members up?") from error
