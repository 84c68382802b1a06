"""One connection to a Redis or Valkey server: RESP 2 over TCP or TLS, every answer by a deadline.

Written here rather than taken from a client library, because replication (PSYNC) leaves request and answer behind, and because
the ledger must know exactly whether a command had left when the connection failed. hiredis writes commands, and reads the answers to many.
Never retries. Knows nothing of backups.
Format: https://redis.io/docs/latest/develop/reference/protocol-spec/
"""

import socket
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import hiredis

from drplatform.model import errors, tls
from drplatform.model.clock import Clock
from drplatform.model.ports import Address, Endpoint

RECEIVE_BYTES = 256 * 1024
COMMAND_SECONDS = 30.0
"""How long one command of ours may take, where nothing else is said: they are all short."""

_MORE = object()

R = TypeVar("R")
Argument = bytes | str | int
Command = Sequence[Argument]


class Unreachable(errors.StoreError):
    """No connection could be made, or it was not let in: nothing was sent."""


class ConnectionLost(errors.StoreError):
    """The connection failed, or stayed silent, after something may have been sent."""


class ErrorReply(errors.StoreError):
    """The server answered with an error. `code` is its first word: READONLY, LOADING, NOPERM, ERR ..."""

    def __init__(self, text: str) -> None:
        self.code = text.split(" ", 1)[0]
        super().__init__(f"The server answered {text!r}.")


class Wire:
    """Used by one thread at a time."""

    def __init__(self, connected: socket.socket, clock: Clock, name: str) -> None:
        self.socket, self.name = connected, name
        self._clock = clock
        self._buffer = bytearray()
        self._deadline = 0.0
        self.within(COMMAND_SECONDS)

    def within(self, seconds: float) -> "Wire":
        """Everything from now on must be answered within so many seconds."""
        self._deadline = self._clock.monotonic() + seconds
        return self

    def call(self, *arguments: Argument) -> Any:
        """Send one command and return its answer. Raises ErrorReply, ConnectionLost."""
        self.send(encode(arguments))
        return checked(self.answer())

    def pipeline(self, commands: Iterable[Command]) -> list[Any]:
        """Send commands in one go; their answers, where an error is an ErrorReply among them."""
        batch = list(commands)
        self.send(b"".join(map(encode, batch)))
        reader = hiredis.Reader(replyError=ErrorReply, errors="replace", notEnoughData=_MORE)
        answers = list[Any]()
        while len(answers) < len(batch):
            if self._buffer:
                reader.feed(bytes(self._buffer))
                self._buffer.clear()
            try:
                answer = reader.gets()
            except hiredis.ProtocolError as error:
                raise ConnectionLost(f"{self.name} does not speak the Redis protocol ({error}).") from error
            if answer is _MORE:
                self._fill()
            else:
                answers.append(answer)
        if reader.has_data():
            raise ConnectionLost(f"{self.name} said more than it was asked.")
        return answers

    def send(self, data: bytes | memoryview) -> None:
        try:
            self.socket.settimeout(self._remaining())
            self.socket.sendall(data)
        except OSError as error:
            raise ConnectionLost(f"The connection to {self.name} failed while sending ({_reason(error)}).") from error

    def answer(self) -> Any:
        """The next answer; an error comes back as an ErrorReply, not raised."""
        line = self.line()
        kind, rest = line[:1], line[1:]
        if kind == b"$":
            return self._bulk(int(rest))
        if kind == b":":
            return int(rest)
        if kind == b"+":
            return rest
        if kind == b"*":
            return None if rest == b"-1" else [self.answer() for _ in range(int(rest))]
        if kind == b"-":
            return ErrorReply(rest.decode("utf-8", "replace"))
        raise ConnectionLost(f"{self.name} does not speak the Redis protocol (its answer began with {line[:20]!r}).")

    def line(self) -> bytes:
        """Bytes up to the next line feed, which is taken off together with a carriage return before it."""
        searched = 0
        while (end := self._buffer.find(b"\n", searched)) < 0:
            searched = len(self._buffer)
            self._fill()
        found = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return found.removesuffix(b"\r")

    def receive(self, limit: int) -> bytes:
        """At least one byte and at most `limit`, as they come. Raises ConnectionLost at the end of the stream."""
        if not self._buffer:
            self._fill(limit)
        data = bytes(self._buffer[:limit])
        del self._buffer[:limit]
        return data

    def receive_into(self, space: memoryview) -> int:
        """The same into a space, without copies on the way; how many."""
        if not self._buffer:
            return self._received(lambda: self.socket.recv_into(space))
        size = min(len(space), len(self._buffer))
        space[:size] = self._buffer[:size]
        del self._buffer[:size]
        return size

    def waiting(self, seconds: float) -> bool:
        """Whether something can be received now, or comes within so many seconds."""
        if self._buffer:
            return True
        self.within(seconds)
        try:
            self._fill()
        except TimeoutError:
            return False
        return True

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> "Wire":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _bulk(self, size: int) -> bytes | None:
        if size < 0:
            return None
        while len(self._buffer) < size + 2:
            self._fill(max(RECEIVE_BYTES, size + 2 - len(self._buffer)))
        data = bytes(self._buffer[:size])
        del self._buffer[: size + 2]
        return data

    def _fill(self, limit: int = RECEIVE_BYTES) -> None:
        self._buffer += self._received(lambda: self.socket.recv(min(limit, 4 * RECEIVE_BYTES)))

    def _received(self, receive: Callable[[], R]) -> R:
        try:
            self.socket.settimeout(self._remaining())
            received = receive()
        except TimeoutError as error:
            raise _Silent(f"{self.name} did not answer in time.") from error
        except OSError as error:
            raise ConnectionLost(f"The connection to {self.name} failed ({_reason(error)}).") from error
        if not received:
            raise ConnectionLost(f"{self.name} closed the connection.")
        return received

    def _remaining(self) -> float:
        # Zero would mean "do not block" to a socket; a deadline that has passed still takes what is there already.
        return max(0.001, self._deadline - self._clock.monotonic())


class _Silent(ConnectionLost, TimeoutError):
    """Nothing came in time."""


def dial(endpoint: Endpoint, clock: Clock, seconds: float = 5.0) -> Wire:
    """A connection that is let in: connected, and authenticated if there are credentials. Raises Unreachable: nothing was written."""
    wire = connected(endpoint, clock, seconds).within(seconds)
    try:
        for command in login(endpoint):
            wire.call(*command)
    except errors.StoreError as error:
        wire.close()
        raise Unreachable(f"{wire.name} does not let us in: {error}") from error
    except BaseException:
        wire.close()
        raise
    return wire.within(COMMAND_SECONDS)


def connected(endpoint: Endpoint, clock: Clock, seconds: float) -> Wire:
    """A connection on which nothing was said yet. Raises Unreachable."""
    address = address_of(endpoint)
    return Wire(_connected(endpoint, address, seconds), clock, f"Redis at {address}")


def login(endpoint: Endpoint) -> list[Command]:
    """What to say first: AUTH, if there are credentials."""
    if endpoint.credentials is None:
        return []
    user = [endpoint.credentials.user] if endpoint.credentials.user else []
    return [("AUTH", *user, endpoint.credentials.password.reveal())]


def address_of(endpoint: Endpoint) -> Address:
    """Where the server is. Raises SettingsError when the endpoint names none."""
    if not endpoint.addresses:
        raise errors.SettingsError("The endpoint of Redis has no address; give host and port.")
    return endpoint.addresses[0]


def encode(arguments: Command) -> bytes:
    """A command as the protocol's array of bulk strings."""
    words: Any = tuple(arguments)
    packed: bytes = hiredis.pack_command(words)
    return packed


def info(wire: Wire, section: str) -> dict[str, str]:
    """One section of INFO as its fields."""
    return fields(wire.call("INFO", section))


def fields(answer: bytes) -> dict[str, str]:
    """The fields of an answer to INFO."""
    text = answer.decode("utf-8", "replace")
    pairs = (line.partition(":") for line in text.splitlines() if not line.startswith("#"))
    return {name: value for name, colon, value in pairs if colon}


def setting(wire: Wire, name: str) -> str:
    """A setting of the server; empty when it has no such setting."""
    found = wire.call("CONFIG", "GET", name)
    return str(found[1].decode("utf-8", "replace")) if found else ""


def supports(wire: Wire, command: str) -> bool:
    """Whether the server knows a command."""
    return wire.call("COMMAND", "INFO", command) not in ([], [None])


def _connected(endpoint: Endpoint, address: Address, seconds: float) -> socket.socket:
    try:
        plain = socket.create_connection((address.host, address.port), timeout=seconds)
    except OSError as error:
        raise Unreachable(f"Redis at {address} cannot be reached ({_reason(error)}); is it running?") from error
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        return tls.secured(plain, endpoint, address)
    except OSError as error:
        raise Unreachable(f"Redis at {address} cannot be reached by TLS ({_reason(error)}); check certificates and tls_ca.") from error


def checked(answer: Any) -> Any:
    """The answer, unless it is an error, which is raised."""
    if isinstance(answer, ErrorReply):
        raise answer
    return answer


def _reason(error: OSError) -> str:
    return error.strerror or str(error) or type(error).__name__
