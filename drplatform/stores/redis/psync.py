"""Joining a server as a replica: for one snapshot, or to continue its replication stream.

Formats: `replication.c` of Redis and Valkey. We never say a listening port, so that Sentinel does not take us for a replica that it could
promote, and never acknowledge an offset but 0, so that nobody's WAIT is satisfied by us.
"""

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any

from drplatform.model import errors
from drplatform.model.clock import Clock
from drplatform.model.ports import BLOCK_BYTES, Endpoint
from drplatform.model.position import Position
from drplatform.stores.redis import wire as wires
from drplatform.stores.redis.wire import Wire

PATIENCE = 60.0
"""Seconds of silence after which a server is given up. While it prepares a snapshot it sends a line feed every few seconds."""

LARGE_BYTES = 2**30
"""Of a server with more than this, writing a snapshot to disk takes longer than the usual delay of 5 seconds before sending without."""

WAIT = 0.2
"""Seconds after which a capture that waits wants to be asked whether it should go on."""


@dataclass(frozen=True)
class Transfer:
    """A snapshot that is about to come: `size` in bytes, or an end `mark` when the server does not know the size beforehand."""

    wire: Wire
    position: Position
    size: int
    mark: bytes

    def blocks(self) -> Iterator[bytes]:
        """The RDB file in blocks of BLOCK_BYTES. Raises IntegrityError when it breaks off."""
        try:
            yield from self._until_mark() if self.mark else self._by_size()
        except wires.ConnectionLost as error:
            raise errors.IntegrityError(f"The snapshot broke off ({error}) and is not used; take it again.") from error

    def _by_size(self) -> Iterator[bytes]:
        remaining = self.size
        while remaining:
            block = _gather(self.wire, min(BLOCK_BYTES, remaining))
            remaining -= len(block)
            yield block

    def _until_mark(self) -> Iterator[bytes]:
        """The end mark, or a part of it, may lie beyond a whole block."""
        space, at, mark = memoryview(bytearray(BLOCK_BYTES + len(self.mark))), 0, len(self.mark)
        while at < mark or space[at - mark : at] != self.mark:
            if at == len(space):
                yield bytes(space[:BLOCK_BYTES])
                space[:mark] = space[BLOCK_BYTES:]
                at = mark
            at += self.wire.within(PATIENCE).receive_into(space[at:])
        if at > mark:
            yield bytes(space[: at - mark])


def snapshot(endpoint: Endpoint, clock: Clock) -> Transfer:
    """Ask for a snapshot, and return when it begins to come.

    A server can write it to its disk first, or send it straight on, which is twice as fast but which it may put off for some seconds
    (`repl-diskless-sync-delay`). The option `transfer` of the endpoint says which (`disk`, `diskless`); else the server's settings and size
    do. Where its disk is of no use (full, read-only), it is done without.
    """
    transfer = endpoint.options.get("transfer")
    if transfer == "diskless" or (transfer != "disk" and _better_diskless(endpoint, clock)):
        return _snapshot(endpoint, clock, diskless=True)
    try:
        return _snapshot(endpoint, clock, diskless=False)
    except wires.ConnectionLost:
        return _snapshot(endpoint, clock, diskless=True)


def continuing(endpoint: Endpoint, clock: Clock, after: Position) -> Generator[None, None, Wire]:
    """Get a connection on which the stream after this position comes, bit by bit: yields whenever WAIT has passed without an answer.

    Raises LogGap when the server does not have that stream any more. Asks first and joins then: a server that is asked for what it does not
    have begins a full snapshot for nobody.
    """
    wire = wires.connected(endpoint, clock, 2 * WAIT)
    try:
        for command in wires.login(endpoint):
            wires.checked((yield from _asked(wire, clock, command)))
        replication = wires.checked((yield from _asked(wire, clock, ("INFO", "replication"))))
        _require(wires.fields(replication), after)
        yield from _asked(wire, clock, ("REPLCONF", "capa", "psync2"))
        answer = yield from _asked(wire, clock, ("PSYNC", after.timeline, after.sequence[0] + 1))
        if wires.checked(answer).split() not in ([b"CONTINUE"], [b"CONTINUE", after.timeline.encode()]):
            raise _gap(after, f"it offers {answer!r}")
        return wire
    except BaseException:
        wire.close()
        raise


def acknowledge(wire: Wire) -> None:
    """Say that we are alive. A server drops a replica that is silent for `repl-timeout` seconds."""
    wire.send(wires.encode(("REPLCONF", "ACK", 0)))


def _snapshot(endpoint: Endpoint, clock: Clock, diskless: bool) -> Transfer:
    wire = wires.dial(endpoint, clock)
    try:
        for words in _introduction(diskless):
            wire.pipeline([("REPLCONF", *words)])  # a server that does not know a word says so, and goes on
        answer = _sync(wire, "?", -1)
        if answer[0] != b"+FULLRESYNC" or len(answer) != 3:
            raise errors.StoreError(f"{wire.name} gives no snapshot but {b' '.join(answer)!r}; is it Redis or Valkey from 6.2?")
        position = Position(answer[1].decode(), (int(answer[2]),), clock.utc().timestamp())
        return _transfer(wire, position, _line(wire))
    except BaseException:
        wire.close()
        raise


def _better_diskless(endpoint: Endpoint, clock: Clock) -> bool:
    with wires.dial(endpoint, clock) as wire:
        try:
            large = int(wires.info(wire, "memory")["used_memory"]) > LARGE_BYTES
            return large or wires.setting(wire, "repl-diskless-sync-delay") == "0"
        except wires.ErrorReply:
            return False  # an account that may only replicate


def _introduction(diskless: bool) -> list[tuple[str, ...]]:
    """`rdb-only`: the server need not keep the stream for us while we read the snapshot."""
    capabilities = ("capa", "eof", "capa", "psync2") if diskless else ("capa", "psync2")
    return [capabilities, ("rdb-only", "1")]


def _transfer(wire: Wire, position: Position, header: bytes) -> Transfer:
    if header.startswith(b"$EOF:"):
        return Transfer(wire, position, 0, header[5:])
    if header.startswith(b"$") and header[1:].isdigit():
        return Transfer(wire, position, int(header[1:]), b"")
    raise wires.ConnectionLost(f"{wire.name} announced no snapshot but {header[:80]!r}.")


def _sync(wire: Wire, timeline: str, offset: int) -> list[bytes]:
    wire.send(wires.encode(("PSYNC", timeline, offset)))
    answer = _line(wire)
    if answer.startswith(b"-"):
        raise wires.ErrorReply(answer[1:].decode("utf-8", "replace"))
    return answer.split()


def _asked(wire: Wire, clock: Clock, command: wires.Command) -> Generator[None, None, Any]:
    """The answer to a command, after yielding while there is none."""
    wire.within(2 * WAIT).send(wires.encode(command))
    deadline = clock.monotonic() + PATIENCE
    while not wire.waiting(WAIT):
        if clock.monotonic() > deadline:
            raise wires.ConnectionLost(f"{wire.name} does not answer {command[0]!r}.")
        yield
    return wire.within(2 * WAIT).answer()


def _line(wire: Wire) -> bytes:
    """The next line that is not empty: empty ones say that the server is still at work."""
    while not (line := wire.within(PATIENCE).line()):
        pass
    return line


def _gather(wire: Wire, size: int) -> bytes:
    space, at = memoryview(bytearray(size)), 0
    while at < size:
        at += wire.within(PATIENCE).receive_into(space[at:])
    return bytes(space)


def _require(replication: dict[str, str], after: Position) -> None:
    """Raises LogGap unless the server still has everything after the position."""
    if replication["master_replid"] != after.timeline:
        raise _gap(after, "its history is another one, " + replication["master_replid"])
    first, last = int(replication["repl_backlog_first_byte_offset"]), int(replication["master_repl_offset"])
    if replication["repl_backlog_active"] != "1" or not first <= after.sequence[0] + 1 <= last + 1:
        raise _gap(after, f"it has only {first} to {last}")


def _gap(after: Position, why: str) -> errors.LogGap:
    return errors.LogGap(
        f"The stream of Redis after {after} is no longer to be had: {why}; take a new snapshot, and raise repl-backlog-size if this recurs."
    )
