"""One connection to one mongod: OP_MSG over a socket with a deadline, replies as raw BSON where that is wanted.

Knows the wire protocol (MongoDB manual, "MongoDB Wire Protocol", OP_MSG with sections of kinds 0 and 1), and whether a command had left
when the connection broke. Knows nothing of replica sets, backups or marks.
"""

import socket
import ssl
import struct
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import count, groupby
from typing import Any

import bson
from bson.codec_options import CodecOptions, DatetimeConversion

from drplatform.model import errors, tls
from drplatform.model.clock import Clock
from drplatform.model.ports import Address, Endpoint
from drplatform.stores.mongodb import auth, raw

COMMAND_SECONDS = 30.0
"""How long an answer may take unless `within` says otherwise."""
CONNECT_SECONDS = 5.0
LONG = 24 * 3600.0
"""For commands that take as long as the data is large (index builds, validate)."""

OPTIONS: CodecOptions[dict[str, Any]] = CodecOptions(tz_aware=True, datetime_conversion=DatetimeConversion.DATETIME_AUTO)
Document = dict[str, Any]
Sequences = Mapping[str, Sequence[bytes | memoryview]]
"""Documents sent beside a command, by the name of the field that they stand for."""

UNAUTHORIZED = 13
"""The code of an account that may not do it."""
_OP_MSG = 2013
_HEADER = struct.Struct("<iiii")
_INT = struct.Struct("<i")
_LARGE = 64 * 1024
_MORE_TO_COME, _EXHAUST_ALLOWED = 1 << 1, 1 << 16
_BEFORE_BODY = 5
"""Bytes between header and body of a reply: flags, and the kind of its only section."""
_LARGEST_MESSAGE = 48_000_000 + 64 * 1024
_CUT_OFF = (ssl.SSLEOFError, ssl.SSLZeroReturnError)
"""What TLS says of a connection that ended. All else that it says, it will say again."""


class ConnectionLost(errors.StoreError):
    """No answer. `sent`: whether (some of) the command may have reached the server."""

    def __init__(self, message: str, sent: bool) -> None:
        self.sent = sent
        super().__init__(message)


class ServerError(errors.StoreError):
    """The server answered that it did not do it. `code` as in the server's error_codes.yml."""

    def __init__(self, address: Address, command: str, answer: Mapping[str, Any]) -> None:
        self.answer = answer
        self.code = int(answer.get("code", 0))
        name = answer.get("codeName", self.code)
        said = str(answer.get("errmsg", "no reason given"))
        reason = said.partition(" to execute command")[0]  # what follows is all of the command, content too
        super().__init__(f"MongoDB at {address} refused {command}: {reason} ({name}).")


def dial(address: Address, clock: Clock, endpoint: Endpoint, within: float = CONNECT_SECONDS) -> "Wire":
    """Connect to one member of the endpoint, by TLS and with its credentials where it says so.

    Raises ConnectionLost or ServerError, and StoreError when certificates do not fit.
    """
    deadline = clock.monotonic() + within
    try:
        connection = socket.create_connection((address.host, address.port), timeout=max(0.001, within))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = tls.secured(connection, endpoint, address)
    except OSError as error:
        raise _lost(address, error, f"MongoDB at {address} cannot be reached: {error}.", sent=False) from error
    wire = Wire(connection, address, clock, endpoint)
    try:
        if endpoint.credentials:
            auth.log_in(wire.within(deadline - clock.monotonic()).call, endpoint.credentials)
    except BaseException:
        wire.close()
        raise
    return wire.within(COMMAND_SECONDS)


def _lost(address: Address, error: OSError, message: str, sent: bool) -> errors.StoreError:
    """ConnectionLost, after which others are tried, and the same again; or what trying again does not mend."""
    if isinstance(error, ssl.SSLError) and not isinstance(error, _CUT_OFF):
        return errors.StoreError(f"MongoDB at {address} cannot be reached by TLS ({error}); check its certificate and the options tls_*.")
    return ConnectionLost(message, sent)


class Wire:
    """Used by one thread at a time. After ConnectionLost it is closed."""

    def __init__(self, connection: socket.socket, address: Address, clock: Clock, endpoint: Endpoint) -> None:
        self._socket, self.address, self._clock, self._endpoint = connection, address, clock, endpoint
        self._numbers = count(1)
        self._seconds, self._deadline = COMMAND_SECONDS, 0.0

    def __enter__(self) -> "Wire":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def another(self) -> "Wire":
        """A second connection to the same server."""
        return dial(self.address, self._clock, self._endpoint)

    def within(self, seconds: float) -> "Wire":
        """From now on every single command is to be answered within so many seconds."""
        self._seconds = max(0.001, seconds)
        return self

    def call(self, database: str, command: Mapping[str, Any], sequences: Sequences | None = None) -> Document:
        """The server's answer. Raises ServerError when it says that the command as a whole failed."""
        answer: Document = bson.decode(self.exchange(database, command, sequences), OPTIONS)
        if answer.get("ok") != 1:
            raise ServerError(self.address, next(iter(command)), answer)
        return answer

    def exchange(self, database: str, command: Mapping[str, Any], sequences: Sequences | None = None) -> memoryview:
        """The answer's document as it came, unchecked. Asks secondaries too."""
        body = bson.encode({**command, "$db": database, "$readPreference": {"mode": "secondaryPreferred"}})
        return self.exchange_raw(body, sequences)

    def exchange_raw(self, body: bytes, sequences: Sequences | None = None) -> memoryview:
        """Like `exchange` with an encoded command, which names its `$db`."""
        self._deadline = self._clock.monotonic() + self._seconds
        number = next(self._numbers) & 0x7FFFFFFF
        self._send(number, [b"\0", body, *(piece for name, items in (sequences or {}).items() for piece in _section(name, items))])
        return self._receive(number)

    def _send(self, number: int, pieces: list[bytes | memoryview], flags: int = 0) -> None:
        size = _HEADER.size + 4 + sum(map(len, pieces))
        for message in _messages([_HEADER.pack(size, number, 0, _OP_MSG), _INT.pack(flags), *pieces]):
            self._guarded(partial(self._socket.sendall, message))

    def _receive(self, number: int) -> memoryview:
        return self._read(self._header(number)[1])[_BEFORE_BODY:]

    def _header(self, number: int) -> tuple[int, int]:
        """The number of the answer to the message of that number, and how many bytes of it follow."""
        size, own, answered, code = _HEADER.unpack(self._read(_HEADER.size))
        if code != _OP_MSG or answered != number or not _HEADER.size + _BEFORE_BODY < size <= _LARGEST_MESSAGE:
            self.close()
            raise ConnectionLost(f"What answers at {self.address} does not speak MongoDB's protocol.", sent=True)
        return own, size - _HEADER.size

    def _read(self, size: int, into: bytearray | None = None) -> memoryview:
        view, at = memoryview(bytearray(size) if into is None else into)[:size], 0
        while at < size:
            got = self._guarded(partial(self._socket.recv_into, view[at:]))
            if not got:
                self.close()
                raise ConnectionLost(f"MongoDB at {self.address} closed the connection.", sent=True)
            at += got
        return view

    def _guarded(self, act: Callable[[], Any]) -> Any:
        """Any failure may have come after the server has the command: a part that was sent may be the whole."""
        try:
            self._socket.settimeout(max(0.001, self._deadline - self._clock.monotonic()))
            return act()
        except OSError as error:
            self.close()
            raise _lost(self.address, error, f"MongoDB at {self.address} did not answer: {error}.", sent=True) from error

    # -- cursors --------------------------------------------------------------------------------------------------------------

    def batches(self, database: str, command: Mapping[str, Any], more: Mapping[str, Any] | None = None) -> Generator[bytes]:
        """The documents of a cursor, a batch at a time, as concatenated raw BSON. `more` goes into each getMore.

        Batches may be empty (tailable cursors). Ends when the cursor does; leaving earlier kills the cursor.
        """
        batch = self._batch(self.exchange(database, command), next(iter(command)))
        collection = batch.namespace.partition(".")[2]
        try:
            yield batch.documents
            while batch.cursor:
                follow = {"getMore": bson.Int64(batch.cursor), "collection": collection, **(more or {})}
                batch = self._batch(self.exchange(database, follow), "getMore")
                yield batch.documents
        finally:
            if batch.cursor and self._socket.fileno() != -1:
                self._kill(database, collection, batch.cursor)

    def stream(
        self, database: str, command: Mapping[str, Any], size: int, left: Callable[[raw.Batch], int] | None = None
    ) -> Generator[raw.Batch]:
        """Like `batches` with `size` documents in each, but the server sends one after the other without being asked for each.

        Each is to be looked at before the next is asked for, which takes its place; that one is on its way meanwhile (OP_MSG flags
        exhaustAllowed and moreToCome). Leaving earlier closes the connection, and what was on its way was read in vain. With `left`, which
        says of how many documents after a batch any are wanted, each batch is asked for, with no more documents than these; leaving earlier
        kills the cursor.
        """
        batch = self._batch(self.exchange(database, {**command, "batchSize": size}), next(iter(command)))
        collection = batch.namespace.partition(".")[2]
        space, number, coming = bytearray(), 0, False
        try:
            while True:
                yield batch
                if not batch.cursor:
                    return
                self._deadline = self._clock.monotonic() + self._seconds
                if not coming:
                    number = next(self._numbers) & 0x7FFFFFFF
                    most = min(size, max(1, left(batch))) if left else size
                    follow = {"getMore": bson.Int64(batch.cursor), "collection": collection, "batchSize": most, "$db": database}
                    self._send(number, [b"\0", bson.encode(follow)], 0 if left else _EXHAUST_ALLOWED)
                number, length = self._header(number)
                if length > len(space):
                    space = bytearray(length)
                message = self._read(length, space)
                coming = bool(_INT.unpack_from(message)[0] & _MORE_TO_COME)
                batch = self._batch(message[_BEFORE_BODY:], "getMore")
                del message
        finally:
            if batch.cursor and left and self._socket.fileno() != -1:
                self._kill(database, collection, batch.cursor)
            elif batch.cursor:
                self.close()

    def documents(self, database: str, command: Mapping[str, Any]) -> Iterator[Document]:
        """The decoded documents of a cursor."""
        for batch in self.batches(database, command):
            yield from bson.decode_all(batch, OPTIONS)

    def _batch(self, reply: memoryview, command: str) -> raw.Batch:
        found = raw.batch(reply)
        if found is None:
            answer: Document = bson.decode(reply, OPTIONS)
            raise ServerError(self.address, command, answer)
        return found

    def _kill(self, database: str, collection: str, cursor: int) -> None:
        try:
            self.call(database, {"killCursors": collection, "cursors": [bson.Int64(cursor)]})
        except errors.StoreError:
            self.close()  # it dies of its own idleness; the connection is not used for anything else


def _messages(pieces: Iterable[bytes | memoryview]) -> Iterator[bytes | memoryview]:
    """Small pieces joined, and large ones as they are, of which copies would take as long as sending them."""
    for large, some in groupby(pieces, lambda piece: len(piece) >= _LARGE):
        if large:
            yield from some
        else:
            yield b"".join(some)


def _section(name: str, items: Sequence[bytes | memoryview]) -> list[bytes | memoryview]:
    payload = [name.encode() + b"\0", *items]
    return [b"\1", _INT.pack(4 + sum(map(len, payload))), *payload]
