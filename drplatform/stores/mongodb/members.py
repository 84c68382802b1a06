"""The members of a replica set: which is primary, which serves best, what history they hold.

Knows `hello` and the replica set's id. Members are those of the endpoint's addresses. Between calls only one thing
is remembered: who did not answer, and why not. It is asked last, until it does: a machine that is gone says nothing, and whoever asks it first
waits for that each time.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from bson.timestamp import Timestamp

from drplatform.model import errors
from drplatform.model.clock import Clock, wait_for
from drplatform.model.ports import Address, Endpoint
from drplatform.model.position import Position
from drplatform.stores.mongodb import wire as wires
from drplatform.stores.mongodb.wire import Wire

SECONDS_TO_FIND = 20.0
"""How long an election may take before calls give up."""
SECONDS_TO_COMMIT = 20.0
Stamp = tuple[int, int]
"""An oplog timestamp: seconds since 1970 and ordinal in that second."""


@dataclass(frozen=True)
class Members:
    """The replica set at an endpoint."""

    endpoint: Endpoint
    clock: Clock
    _silent: dict[Address, str] = field(default_factory=dict, init=False, repr=False, compare=False)

    def primary(self, within: float = SECONDS_TO_FIND) -> Wire:
        """A connection to the primary. Raises StoreError when none is found in time."""
        return self._waited("a MongoDB primary", lambda left: self.primary_now(left), within)

    def best(self, within: float = SECONDS_TO_FIND, since: Position | None = None) -> Wire:
        """A connection for reading backups: a secondary where the endpoint's option `read_from` says so and one is there.

        `since`: one whose oplog reaches back to there goes before one whose does not, as that of a member that was made anew.
        """
        return self._waited("a MongoDB member to read from", lambda left: self.best_now(left, since), within)

    def primary_now(self, timeout: float) -> Wire | None:
        """The primary among those who answer at once."""
        for found, hello in self._answering(timeout):
            if hello["isWritablePrimary"]:
                return found
            found.close()
        return None

    def best_now(self, timeout: float, since: Position | None = None) -> Wire | None:
        """Of those who answer at once the one that knows most, by preference of the log and the role wanted."""
        wanted = "secondary" if self.endpoint.options.get("read_from") == "secondary" else "isWritablePrimary"
        seen = [(found, hello) for found, hello in self._answering(timeout)]
        serving = [pair for pair in seen if pair[1]["isWritablePrimary"] or pair[1].get("secondary")]
        ranked = sorted(serving, key=lambda pair: (bool(pair[1].get(wanted)), _committed(pair[1])), reverse=True)
        order = [found for found, _ in ranked]
        reaching = (found for found in order if since is None or len(order) == 1 or self._reaches(found, since, timeout))
        best = next(reaching, order[0] if order else None)
        for found, _ in seen:
            if found is not best:
                found.close()
        return best

    @property
    def silent(self) -> tuple[Address, ...]:
        """Who did not answer when last asked."""
        return tuple(self._silent)

    def _reaches(self, wire: Wire, since: Position, timeout: float) -> bool:
        """Whether the member's oplog holds that entry, as far as it says so at once."""
        at = Timestamp(*stamp(since))
        command = {"find": "oplog.rs", "filter": {"ts": {"$gte": at}}, "projection": {"ts": 1}, "limit": 1}
        try:
            found = [each["ts"] for each in wire.within(timeout).documents("local", command)]
        except wires.ConnectionLost as error:
            self._silent[wire.address] = _heard(error)
            return False
        wire.within(wires.COMMAND_SECONDS)
        return found == [at]

    def _answering(self, timeout: float) -> Iterator[tuple[Wire, dict[str, Any]]]:
        for address in sorted(self.endpoint.addresses, key=self._silent.__contains__):
            try:
                found = wires.dial(address, self.clock, self.endpoint, timeout)
            except wires.ConnectionLost as error:
                self._silent[address] = _heard(error)
                continue
            try:
                hello = found.within(timeout).call("admin", {"hello": 1})
                self._check(hello, address)
            except wires.ConnectionLost as error:
                self._silent[address] = _heard(error)  # one that hangs, or is cut off, takes connections all the same
                found.close()
                continue
            except BaseException:
                found.close()
                raise
            self._silent.pop(address, None)
            yield found.within(wires.COMMAND_SECONDS), hello

    def _check(self, hello: dict[str, Any], address: Address) -> None:
        expected = self.endpoint.options.get("replica_set")
        if expected and hello.get("setName") not in (None, expected):
            raise errors.StoreError(
                f"MongoDB at {address} belongs to the replica set {hello['setName']}, not to {expected}; mend the endpoint."
            )

    def _waited(self, what: str, look: Any, within: float) -> Wire:
        where = ", ".join(map(str, self.endpoint.addresses))
        try:
            found: Wire = wait_for(self.clock, f"{what} at {where}", lambda: look(min(2.0, within)), within=within, every=0.05)
        except errors.DeadlineExceeded as error:
            why = " ".join(["is it up?", *self._silent.values()])
            raise errors.StoreError(f"There is no {what.removeprefix('a ')} at {where}, for {within:g} s now; {why}") from error
        return found


def _heard(error: wires.ConnectionLost) -> str:
    """Why a member did not answer. One that wants TLS, or another certificate, ends the connection without a word of it."""
    ended = error.sent and not isinstance(error.__cause__, TimeoutError)
    return f"{error} Does it want TLS, or another certificate?" if ended else str(error)


def _committed(hello: dict[str, Any]) -> Stamp:
    """The last position that the majority has; a member that has just started, or was just elected, does not know one yet."""
    known = hello["lastWrite"].get("majorityOpTime")
    return (known["ts"].time, known["ts"].inc) if known else (0, 0)


def identity(wire: Wire) -> str:
    """The replica set's id, in hex: made once, when it is initiated."""
    config = wire.call("admin", {"replSetGetConfig": 1})["config"]
    return str(config["settings"]["replicaSetId"])


def position(wire: Wire, clock: Clock, timeline: str) -> Position:
    """The primary's last operation, when the majority has it."""
    applied = wire.call("admin", {"hello": 1})["lastWrite"]["opTime"]["ts"]
    return settled(wire, clock, timeline, (applied.time, applied.inc))


def settled(wire: Wire, clock: Clock, timeline: str, stamp: Stamp) -> Position:
    """The last position that the majority has, waiting until that is not before `stamp`."""
    try:
        found: Stamp = wait_for(
            clock,
            f"a majority of the members of {wire.address} to have {stamp}",
            lambda: _committed(wire.call("admin", {"hello": 1})),
            within=SECONDS_TO_COMMIT,
            every=0.01,
            until=lambda seen: seen >= stamp,
        )
    except errors.DeadlineExceeded as error:
        raise errors.StoreError(f"{error} Are most members of the replica set up?") from error
    return at(timeline, found)


def at(timeline: str, stamp: Stamp) -> Position:
    return Position(timeline, stamp, float(stamp[0]))


def stamp(position: Position) -> Stamp:
    seconds, ordinal = position.sequence
    return seconds, ordinal
