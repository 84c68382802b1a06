"""What mongod members do together: initiate, who is primary, reconfigure, add. Speaks to one member at a time.

Reconfigurations change one vote at a time, as the server demands (replSetReconfig, MongoDB 4.4 and later).
"""

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pymongo
import pymongo.errors
from bson.int64 import Int64

from drplatform.model.ports import Address
from drplatform.platforms.embedded.process import Waits

SECONDS_TO_ELECT = 20.0
SECONDS_TO_SYNC = 600.0
SECONDS_TO_LOAD = 120.0
"""How long a member that has started may look for itself in its configuration: it asks every member listed there, also those that are gone."""
ELECTION_TIMEOUT = 1000
"""Milliseconds without a primary until members elect another."""
_TRANSIENT = (pymongo.errors.PyMongoError,)
_PRIMARY = 1

Document = dict[str, Any]


def client(address: Address, timeout: float = 2.0) -> "pymongo.MongoClient[Document]":
    """One member, whatever its role."""
    milliseconds = int(timeout * 1000)
    return pymongo.MongoClient(
        address.host,
        address.port,
        directConnection=True,
        retryWrites=False,
        serverSelectionTimeoutMS=milliseconds,
        connectTimeoutMS=milliseconds,
        socketTimeoutMS=10 * milliseconds,
    )


def answers(address: Address) -> bool:
    with client(address, 0.5) as one:
        return bool(one.admin.command("ping")["ok"])


def initiate(name: str, members: Mapping[Address, float], election_timeout: int = ELECTION_TIMEOUT) -> None:
    """Make a new replica set of the members (address -> priority; the highest, reached first, is to be primary)."""
    settings = {"electionTimeoutMillis": election_timeout, "heartbeatIntervalMillis": 200}
    first = max(members, key=lambda address: members[address])
    listed = [{"_id": i, "host": str(address), "priority": priority} for i, (address, priority) in enumerate(members.items())]
    with client(first) as one:
        one.admin.command("replSetInitiate", {"_id": name, "members": listed, "settings": settings})


def wait_for_primary(address: Address, waits: Waits) -> None:
    """Until this member is primary and a write reaches the majority."""
    with client(address) as one:
        waits.until(
            f"{address} to be primary",
            lambda: one.admin.command("hello"),
            within=SECONDS_TO_ELECT,
            ignoring=_TRANSIENT,
            holds=lambda hello: bool(hello["isWritablePrimary"]),
        )
        command = {"appendOplogNote": 1, "data": {"drplatform": "ready"}, "writeConcern": {"w": "majority", "wtimeout": 20000}}
        one.admin.command(command)


def outrank(address: Address, name: str, term: int, waits: Waits) -> None:
    """Have the primary of a set of one go on in a term above `term`.

    Clients that knew an older set of the same name take a primary of a lower term for a stale one and refuse it for ever (Server
    Discovery and Monitoring, "electionId"). Asking for a vote in a term makes a member step down and stand again above it.
    """
    with client(address) as one:
        config = one.admin.command("replSetGetConfig")["config"]
        newest = one.admin.command("replSetGetStatus")["optimes"]["appliedOpTime"]
        vote = {"setName": name, "dryRun": False, "term": Int64(term), "candidateIndex": Int64(0), "lastAppliedOpTime": newest}
        versions = {"configVersion": Int64(config["version"]), "configTerm": Int64(config["term"])}
        one.admin.command({"replSetRequestVotes": 1, **vote, **versions})
        waits.until(
            f"{address} to be primary in a term above {term}",
            lambda: one.admin.command("replSetGetStatus"),
            within=SECONDS_TO_ELECT,
            ignoring=_TRANSIENT,
            holds=lambda seen: seen["term"] > term and seen["myState"] == _PRIMARY,
        )


def wait_until_healthy(address: Address, members: Iterable[Address], waits: Waits) -> None:
    """Until the member at `address` sees all the others as primary or secondary."""
    wanted = {str(member) for member in members}
    with client(address) as one:
        waits.until(
            f"the members {', '.join(sorted(wanted))} to be healthy",
            lambda: _states(one),
            within=SECONDS_TO_SYNC,
            ignoring=_TRANSIENT,
            holds=lambda states: all(states.get(member) in ("PRIMARY", "SECONDARY") for member in wanted),
        )


def _states(one: "pymongo.MongoClient[Document]") -> dict[str, str]:
    return {member["name"]: member["stateStr"] for member in one.admin.command("replSetGetStatus")["members"]}


def find_primary(addresses: Iterable[Address]) -> Address | None:
    """Which of these is primary; None when none is."""
    return next((address for address in addresses if _is_primary(address)), None)


def _is_primary(address: Address) -> bool:
    try:
        with client(address, 0.5) as one:
            return bool(one.admin.command("hello")["isWritablePrimary"])
    except pymongo.errors.PyMongoError:
        return False


def take_over(address: Address, priority: float, waits: Waits) -> None:
    """Make this member, with the data it holds, the only one of its set, under the address at which it is now.

    Forced: its configuration knows it by another address, so that it belongs to no set that could elect. A member that has just started
    answers before it has read that configuration.
    """

    def alone(config: Document) -> None:
        config["members"] = [{"_id": 0, "host": str(address), "priority": priority}]
        config["settings"]["electionTimeoutMillis"] = ELECTION_TIMEOUT

    with client(address) as one:
        read = functools.partial(one.admin.command, "replSetGetConfig")
        waits.until(f"{address} to have read its configuration", read, within=SECONDS_TO_LOAD, ignoring=_TRANSIENT)
    _reconfigure(address, alone, force=True)


def add(members: Sequence[Address], new: Address, priority: float, waits: Waits) -> None:
    """Add an empty member to the set of `members`: without a vote until it is in sync, so that it cannot hold up majority writes."""

    def with_member(config: Document) -> None:
        number = max(m["_id"] for m in config["members"]) + 1
        config["members"].append({"_id": number, "host": str(new), "priority": 0, "votes": 0})

    def with_vote(config: Document) -> None:
        (added,) = (m for m in config["members"] if m["host"] == str(new))
        added.update(priority=priority, votes=1)

    remove(members, new, waits)
    _retried(members, with_member, waits)
    wait_until_healthy(new, [new], waits)
    _retried(members, with_vote, waits)


def remove(members: Sequence[Address], old: Address, waits: Waits) -> None:
    """Have the set of `members` count on `old` no more: its vote is not missed when it stops. Nothing is done when it is none of them."""

    def without(config: Document) -> None:
        config["members"] = [m for m in config["members"] if m["host"] != str(old)]

    _retried(members, without, waits)


def _retried(members: Sequence[Address], change: Callable[[Document], None], waits: Waits) -> None:
    """A reconfiguration is refused while the one before is on its way to the members, and while another member takes over."""

    def attempt() -> bool:
        if primary := find_primary(members):
            _reconfigure(primary, change)
        return primary is not None

    names = ", ".join(str(m) for m in members)
    waits.until(f"a primary among {names} to take a new configuration", attempt, within=SECONDS_TO_ELECT, ignoring=_TRANSIENT)


def _reconfigure(address: Address, change: Callable[[Document], None], force: bool = False) -> None:
    with client(address) as one:
        config = one.admin.command("replSetGetConfig")["config"]
        before = [dict(m) for m in config["members"]]
        change(config)
        if config["members"] == before:
            return
        config["version"] += 1
        one.admin.command({"replSetReconfig": config, "force": force})
