"""Playing the replication source to one server, which thereby loads a snapshot and a stream that only we have.

Listens on the address by which we reach the target, on a port of the system's choice, and lets in only who knows the password made for
this one restore. Knows nothing of backups. Format: `replication.c` of Redis and Valkey.
"""

import secrets
import socket

from drplatform.model import errors
from drplatform.model.clock import Clock
from drplatform.model.ports import Address
from drplatform.stores.redis import wire as wires
from drplatform.stores.redis.wire import Wire

PATIENCE = 60.0
"""Seconds in which the target must connect, and take what it is sent."""


class Source:
    """Order of use: address, password (told to the target), admit, send*, end_of_snapshot, taken_over, send*."""

    def __init__(self, host: str, clock: Clock, port: int = 0) -> None:
        self._clock = clock
        self._listener = socket.create_server((host, port))
        self._target: Wire | None = None
        self._mark = secrets.token_hex(20).encode()
        self.password = secrets.token_hex(24)

    @property
    def address(self) -> Address:
        host, port = self._listener.getsockname()[:2]
        return Address(host, port)

    def admit(self, timeline: str, offset: int) -> None:
        """Wait for the target and begin a full synchronisation at this offset. Raises DeadlineExceeded."""
        deadline = self._clock.monotonic() + PATIENCE
        while self._target is None:
            candidate = self._accepted(deadline)
            if self._greeted(candidate, deadline):
                self._target = candidate
            else:
                candidate.close()
        self._listener.close()
        self.send(f"+FULLRESYNC {timeline} {offset}\r\n$EOF:".encode() + self._mark + b"\r\n")

    def send(self, data: bytes | memoryview) -> None:
        """Raises RecoveryFailed when the target does not take it."""
        self._give(data)
        self._drain()

    def end_of_snapshot(self) -> None:
        """What the target says from now on is not taken away: the first of it means that it has loaded the snapshot."""
        self._give(self._mark)

    def taken_over(self, seconds: float) -> bool:
        """Wait so long for the target to say that it has loaded the snapshot. Raises RecoveryFailed when it gave up.

        While it loads it sends line feeds; its first acknowledgement means that it has.
        """
        try:
            return self._connected.waiting(seconds) and self._connected.receive(wires.RECEIVE_BYTES).strip(b"\n") != b""
        except wires.ConnectionLost as error:
            raise errors.RecoveryFailed(f"The target refused the snapshot: {error} Its log says why.") from error

    def close(self) -> None:
        self._listener.close()
        if self._target is not None:
            self._target.close()

    @property
    def _connected(self) -> Wire:
        if self._target is None:
            raise errors.RecoveryFailed("No target follows this source; load a snapshot first.")
        return self._target

    def _give(self, data: bytes | memoryview) -> None:
        try:
            self._connected.within(PATIENCE).send(data)
        except wires.ConnectionLost as error:
            raise _left(error) from error

    def _drain(self) -> None:
        """Take the target's acknowledgements away: nobody else reads them, and unread they would block it in the end."""
        try:
            while self._connected.waiting(0):
                self._connected.receive(wires.RECEIVE_BYTES)
        except wires.ConnectionLost as error:
            raise _left(error) from error

    def _accepted(self, deadline: float) -> Wire:
        try:
            self._listener.settimeout(max(0.001, deadline - self._clock.monotonic()))
            connected, peer = self._listener.accept()
        except TimeoutError as error:
            raise errors.DeadlineExceeded(f"the target to fetch its data from {self.address}", PATIENCE, "no connection") from error
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return Wire(connected, self._clock, f"the target at {peer[0]}")

    def _greeted(self, candidate: Wire, deadline: float) -> bool:
        """Answer what a replica says until it asks for the data; whether it knew the password."""
        known = False
        try:
            while True:
                command = candidate.within(deadline - self._clock.monotonic()).answer()
                known = known or _proves(command, self.password)
                if command[0].upper() == b"PSYNC":
                    return known
                candidate.send(_courtesy(command, known))
        except (wires.ConnectionLost, TypeError, IndexError, AttributeError, ValueError):
            return False  # something else that happened to connect


def _left(error: wires.ConnectionLost) -> errors.RecoveryFailed:
    return errors.RecoveryFailed(f"The target left the restore: {error} Its log says why; restore into a fresh one.")


def _proves(command: list[bytes], password: str) -> bool:
    return command[0].upper() == b"AUTH" and secrets.compare_digest(command[-1], password.encode())


def _courtesy(command: list[bytes], known: bool) -> bytes:
    if command[0].upper() == b"PING":
        return b"+PONG\r\n" if known else b"-NOAUTH Authentication required.\r\n"
    return b"+OK\r\n" if known else b"-WRONGPASS this source serves one restore only\r\n"
