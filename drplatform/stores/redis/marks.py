"""The ledger's writes in Redis, and the prober.

Each client appends to a list of its own, `drplatform:marks:<client>`, items `<number>:<payload>`: a list keeps duplicates and order, so
that both are seen afterwards.
"""

from collections.abc import Callable, Iterator

from drplatform.model import errors, ledger
from drplatform.model.clock import Clock
from drplatform.model.ledger import Mark
from drplatform.model.ports import Endpoint
from drplatform.stores.redis import content
from drplatform.stores.redis import wire as wires
from drplatform.stores.redis.wire import Wire

MARKS = content.PRIVATE + b"marks:"
PROBE = content.PRIVATE + b"probe"
WRITE_SECONDS = 1.8
_WINDOW = 1000


class RedisMarker:
    """A client of the ledger. The server's answer is the acknowledgement; `acknowledging_replicas` asks for that of replicas too."""

    def __init__(self, endpoint: Endpoint, clock: Clock, client: str) -> None:
        self._endpoint, self._clock = endpoint, clock
        self._key = MARKS + client.encode()
        self._replicas = int(endpoint.options.get("acknowledging_replicas", 0))
        self._wire: Wire | None = None

    def write(self, mark: Mark, payload: bytes) -> None:
        deadline = self._clock.monotonic() + WRITE_SECONDS
        wire = self._connection(deadline)
        try:
            self._append(wire, b"%d:%b" % (mark.number, payload), deadline)
        except BaseException:
            self.close()  # an answer that comes late must never be taken for that of the next write
            raise

    def close(self) -> None:
        if self._wire is not None:
            self._wire.close()
        self._wire = None

    def _connection(self, deadline: float) -> Wire:
        """Asked for its name before the first write: behind a proxy, a connection says nothing about the server."""
        if self._wire is None:
            try:
                self._wire = _greeted(self._endpoint, self._clock, deadline)
            except errors.StoreError as error:
                raise errors.NotWritten(f"The write was not sent: {error}") from error
        return self._wire.within(deadline - self._clock.monotonic())

    def _append(self, wire: Wire, item: bytes, deadline: float) -> None:
        try:
            wire.call("RPUSH", self._key, item)
        except wires.ErrorReply as error:
            # A command is refused (READONLY, LOADING, MISCONF, OOM, NOREPLICAS ...) before it is executed, or executed.
            raise errors.NotWritten(f"The write was refused: {error}") from error
        except wires.ConnectionLost as error:
            raise errors.Indeterminate(f"Nobody knows whether the write happened: {error}") from error
        if self._replicas:
            self._await_replicas(wire, deadline)

    def _await_replicas(self, wire: Wire, deadline: float) -> None:
        milliseconds = max(1, int((deadline - self._clock.monotonic()) * 900))
        try:
            reached = wire.call("WAIT", self._replicas, milliseconds)
        except errors.StoreError as error:
            raise errors.Indeterminate(f"The write is on the primary, but nobody knows whether on its replicas: {error}") from error
        if reached < self._replicas:
            raise errors.Indeterminate(f"The write reached {reached} of {self._replicas} replicas in time.")


class RedisProber:
    """A user: reads the anchor from among the marks, then writes a key of its own."""

    def __init__(self, endpoint: Endpoint, clock: Clock, anchor: Mark, payload: bytes) -> None:
        self._endpoint, self._clock = endpoint, clock
        self._key = MARKS + anchor.client.encode()
        self._item = b"%d:%b" % (anchor.number, payload)
        self._wire: Wire | None = None

    def attempt(self, number: int, timeout: float) -> None:
        deadline = self._clock.monotonic() + timeout
        try:
            self._look_and_write(number, deadline)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        if self._wire is not None:
            self._wire.close()
        self._wire = None

    def _look_and_write(self, number: int, deadline: float) -> None:
        if self._wire is None:
            self._wire = wires.dial(self._endpoint, self._clock, _left(self._clock, deadline))
        self._wire.within(_left(self._clock, deadline))
        if self._wire.call("LPOS", self._key, self._item) is None:
            raise errors.StoreError("The server answers, but the old acknowledged write is not there.")
        self._wire.call("SET", PROBE, number)
        if self._clock.monotonic() > deadline:
            raise errors.StoreError("The server answered, but too late.")


def marks(dial: Callable[[], Wire]) -> Iterator[Mark]:
    """All marks, list after list, each in its order."""
    with dial() as wire:
        for key in sorted(_keys(wire)):
            client = key.removeprefix(MARKS).decode("utf-8", "replace")
            yield from (_mark(client, item) for item in _items(wire, key))


def _keys(wire: Wire) -> set[bytes]:
    found, cursor = set[bytes](), b"0"
    while True:
        cursor, page = wire.within(wires.COMMAND_SECONDS).call("SCAN", cursor, "MATCH", MARKS + b"*", "COUNT", _WINDOW)
        found.update(page)
        if cursor == b"0":
            return found


def _items(wire: Wire, key: bytes) -> Iterator[bytes]:
    begin = 0
    while page := wire.within(wires.COMMAND_SECONDS).call("LRANGE", key, begin, begin + _WINDOW - 1):
        yield from page
        begin += len(page)


def _mark(client: str, item: bytes) -> Mark:
    """An item whose number cannot be read any more is a mark with number -1: nobody wrote that, so it is named as a phantom."""
    number, _, payload = item.partition(b":")
    return Mark(client, int(number) if number.isdigit() else -1, ledger.digest(payload))


def _greeted(endpoint: Endpoint, clock: Clock, deadline: float) -> Wire:
    wire = wires.dial(endpoint, clock, _left(clock, deadline))
    try:
        wire.within(_left(clock, deadline)).call("PING")
        return wire
    except BaseException:
        wire.close()
        raise


def _left(clock: Clock, deadline: float) -> float:
    return max(0.001, deadline - clock.monotonic())
