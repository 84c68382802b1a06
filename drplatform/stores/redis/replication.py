"""Which server is primary, how far its replicas are behind, and how a replica takes over: alone, or by agreement (FAILOVER, Redis 6.2).

Redis replicates asynchronously: what a replica has not got when the primary is lost is gone. A hand-over loses nothing.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from drplatform.model import errors
from drplatform.model.clock import Clock, wait_for
from drplatform.model.ports import Address, Endpoint
from drplatform.model.replication import Member, Replication, Role
from drplatform.stores.redis import wire as wires
from drplatform.stores.redis.wire import Wire

_LOOK_SECONDS = 1.0
SECONDS_TO_CHANGE = 20.0


@dataclass(frozen=True)
class _Seen:
    """`silent`: seconds since the replica heard of its primary, by the server's clock, whole seconds."""

    address: Address
    role: Role
    offset: int | None = None
    silent: float = 0.0


def look(endpoint: Endpoint, clock: Clock) -> Replication:
    """A replica's lag is 0 when it has all that is known of, else the whole seconds since it last heard of its primary, at least one."""
    seen = _all_seen(endpoint, endpoint.addresses, clock)
    newest = max((s.offset for s in seen if s.offset is not None), default=0)
    return Replication("redis", tuple(_member(s, newest) for s in seen))


def promote(endpoint: Endpoint, survivors: tuple[Address, ...], clock: Clock) -> Address:
    """The survivor that has most of the stream becomes primary, and the other survivors follow it. Raises RecoveryFailed."""
    seen = [s for s in _all_seen(endpoint, survivors, clock) if s.offset is not None]
    if not seen:
        raise errors.RecoveryFailed(f"No Redis answers at {', '.join(map(str, survivors))}; restore from a backup instead.")
    chosen = max(seen, key=lambda s: (s.offset or 0, s.role is Role.PRIMARY)).address
    _tell(endpoint, chosen, clock, "REPLICAOF", "NO", "ONE")
    _await_role(endpoint, chosen, clock, Role.PRIMARY)
    for other in (s.address for s in seen if s.address != chosen):
        _tell(endpoint, other, clock, "REPLICAOF", chosen.host, str(chosen.port))
    return chosen


def hand_over(endpoint: Endpoint, to: tuple[Address, ...], clock: Clock, within: float) -> Address:
    """The primary pauses its clients until the replica has all, then they change places. Raises RecoveryFailed: the old one serves on."""
    (target, *_) = to
    old = next((s.address for s in _all_seen(endpoint, endpoint.addresses, clock) if s.role is Role.PRIMARY), None)
    if old is None:
        raise errors.RecoveryFailed("Redis has no primary that could hand over; fail over instead.")
    if old != target:
        _tell(endpoint, old, clock, "FAILOVER", "TO", target.host, str(target.port), "TIMEOUT", str(int(within * 1000)))
    _await_role(endpoint, target, clock, Role.PRIMARY)
    return target


@contextmanager
def _at(endpoint: Endpoint, address: Address, clock: Clock) -> Iterator[Wire]:
    wire = wires.dial(replace(endpoint, addresses=(address,)), clock, _LOOK_SECONDS)
    try:
        yield wire
    finally:
        wire.close()


def _seen(endpoint: Endpoint, address: Address, clock: Clock) -> _Seen:
    try:
        with _at(endpoint, address, clock) as wire:
            seen = wires.info(wire.within(_LOOK_SECONDS), "replication")
    except errors.StoreError:
        return _Seen(address, Role.UNREACHABLE)
    offset = int(seen.get("slave_repl_offset") or seen["master_repl_offset"])
    if seen["role"] == "master":
        return _Seen(address, Role.PRIMARY, offset)
    down = seen.get("master_link_down_since_seconds")
    return _Seen(address, Role.SECONDARY, offset, float(down or seen.get("master_last_io_seconds_ago") or 0))


def _all_seen(endpoint: Endpoint, addresses: Iterable[Address], clock: Clock) -> list[_Seen]:
    return [_seen(endpoint, address, clock) for address in addresses]


def _member(seen: _Seen, newest: int) -> Member:
    if seen.offset is None:
        return Member(str(seen.address), seen.role)
    behind = newest - seen.offset
    lag = 0.0 if not behind else max(1.0, seen.silent)
    return Member(str(seen.address), seen.role, (seen.offset,), lag, behind)


def _tell(endpoint: Endpoint, address: Address, clock: Clock, *command: str) -> None:
    try:
        with _at(endpoint, address, clock) as wire:
            wire.call(*command)
    except errors.StoreError as error:
        raise errors.RecoveryFailed(f"Redis at {address} did not take {command[0]}: {error}") from error


def _await_role(endpoint: Endpoint, address: Address, clock: Clock, role: Role) -> None:
    try:
        wait_for(
            clock,
            f"Redis at {address} to be {role}",
            lambda: _seen(endpoint, address, clock).role,
            within=SECONDS_TO_CHANGE,
            until=lambda seen: seen is role,
        )
    except errors.DeadlineExceeded as error:
        raise errors.RecoveryFailed(str(error)) from error
