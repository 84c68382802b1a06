"""Connections that are carried on: from one to another, by routes, hindered or not. Runs in pods, beside `machine.py`, and in the runner's way into the cluster.

The standard library only: it is put into pods as text.
"""

import asyncio
import contextlib
import json
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

if __package__:
    from drplatform.platforms.kubernetes import trunk
else:  # in a pod
    import trunk  # type: ignore[import-not-found,no-redef]

CHUNK = 64 * 1024
SECONDS_TO_CONNECT = 2.0
SECONDS_TO_END = 5.0
CUT, RESET, SLOW, LOSSY, NARROW = "cut", "reset", "slow", "lossy", "narrow"
"""How connections are hindered, as `powers` calls it; this file imports nothing of the package."""
Route = tuple[str, int, str, str | None]
"""Host and port at which servers of other pods are known, the entry (host:port) of the machine that they are on, and the name of the gateway by
which that entry is reached; None: it is dialled from here."""


Outlet = asyncio.StreamWriter | trunk.Writer
Stream = tuple[asyncio.StreamReader, Outlet]
Way = Callable[[], Awaitable[Stream]]
"""Opens a connection to a gateway. Raises OSError."""


SECONDS_TO_SEND_AGAIN, MOST_SECONDS = 0.2, 120.0
"""After which TCP sends a lost packet again (RFC 6298), twice as long each time: what who uses a lossy network sees of it."""

Gate = Callable[[int], Awaitable[None]]
"""Waits before each piece, of so many bytes, is passed on, and raises OSError when nothing may be passed on any more."""


async def pump(reader: asyncio.StreamReader, writer: Outlet, gate: Gate | None = None) -> None:
    """One way, until it ends; then the other end is told that nothing more comes.

    What cannot be passed on any more is still read: a connection that is closed with bytes unread is reset, and a reset ends all of what
    `kubectl port-forward` carries.
    """
    with contextlib.suppress(OSError):
        while data := await reader.read(CHUNK):
            if gate:
                await gate(len(data))
            with contextlib.suppress(OSError):
                writer.write(data)
                await writer.drain()
    with contextlib.suppress(OSError, RuntimeError):
        writer.write_eof()


async def joined(one: Stream, other: Stream, to: Gate | None = None, back: Gate | None = None) -> None:
    """Both ways, each through its gate. When one way has ended, the other gets a while: a connection closed with bytes unread would be reset."""
    ways = [asyncio.ensure_future(pump(one[0], other[1], to)), asyncio.ensure_future(pump(other[0], one[1], back))]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait(ways, timeout=SECONDS_TO_END)
    finally:
        for way in ways:
            way.cancel()
        for _, writer in (one, other):
            writer.close()


async def dialled(address: str) -> Stream:
    host, _, port = address.rpartition(":")
    return await asyncio.wait_for(asyncio.open_connection(host, int(port)), SECONDS_TO_CONNECT)


class Routes:
    """Listeners at the addresses of servers elsewhere. `ways` lead to gateways, by their names."""

    def __init__(self, token: str, ways: Mapping[str, Way] | None = None, origin: str = "") -> None:
        self._token, self.ways, self.origin = token, ways or {}, origin
        self._listeners: dict[tuple[str, int], asyncio.Server] = {}
        self._targets: dict[tuple[str, int], tuple[str, str | None]] = {}

    async def set(self, routes: list[Route]) -> None:
        """Listen at these, and nowhere else."""
        wanted = {(host, port): (entry, gateway) for host, port, entry, gateway in routes}
        for key in [key for key in self._listeners if key not in wanted]:
            self._listeners.pop(key).close()
        self._targets = wanted
        for host, port in wanted.keys() - self._listeners.keys():
            self._listeners[host, port] = await asyncio.start_server(self._serve(host, port), host, port)

    def _serve(self, host: str, port: int) -> Any:
        async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                entry, gateway = self._targets[host, port]
                hops = [f"{host}:{port}"] if gateway is None else [entry, f"{host}:{port}"]
                found = await (dialled(entry) if gateway is None else self.ways[gateway]())
            except (OSError, KeyError):
                writer.close()
                return
            for hop in hops:
                found[1].write(json.dumps({"token": self._token, "to": hop, "from": self.origin}).encode() + b"\n")
            await joined((reader, writer), found)

        return carry


class Hindrance:
    """What happens to connections that are carried to the servers of this pod, by where they come from (see `powers.Hinderable`)."""

    def __init__(self) -> None:
        self.how, self._sources, self._one_way = "", frozenset[str](), False
        self._seconds, self._share, self._rate = 0.0, 0.0, 0.0
        self._chance, self._free_at = random.Random(), {True: 0.0, False: 0.0}  # when what was sent to the server, and back, is through
        self._over = asyncio.Event()
        self._carried: dict[Stream, str] = {}

    def set(self, how: str, sources: frozenset[str], one_way: bool, seconds: float = 0.0, share: float = 0.0, rate: float = 0.0) -> None:
        self.end()
        self.how, self._sources, self._one_way = how, sources, one_way
        self._seconds, self._share, self._rate = seconds, share, rate
        if how == RESET:
            self._abort()

    def end(self) -> None:
        """Nothing is hindered any more; connections that were stuck are ended, so that both ends notice."""
        if self.how == CUT:
            self._abort()
        self.how = ""
        self._over.set()
        self._over = asyncio.Event()

    async def carry(self, origin: str, one: Stream, address: str) -> None:
        """From there to the server at the address, until it ends."""
        if self.how == RESET and self._hits(origin):
            one[1].transport.abort()
            return
        self._carried[one] = origin
        try:
            await joined(one, await dialled(address), lambda n: self._gate(origin, True, n), lambda n: self._gate(origin, False, n))
        finally:
            del self._carried[one]

    async def _gate(self, origin: str, to_server: bool, count: int) -> None:
        if not self.how or not self._hits(origin) or (self._one_way and not to_server):
            return
        if self.how == CUT:
            await self._over.wait()
            raise ConnectionAbortedError("was cut")
        await asyncio.sleep(self.late(count, to_server))

    def late(self, count: int, to_server: bool) -> float:
        """Seconds until so many bytes are through, that way."""
        if self.how == LOSSY:
            return self._sent_again()
        if self.how == NARROW:
            now = asyncio.get_running_loop().time()
            self._free_at[to_server] = max(now, self._free_at[to_server]) + count / self._rate
            return self._free_at[to_server] - now
        return self._seconds if self.how == SLOW else 0.0

    def _sent_again(self) -> float:
        waited, timeout = 0.0, SECONDS_TO_SEND_AGAIN
        while self._chance.random() < self._share:
            waited, timeout = waited + timeout, min(2 * timeout, MOST_SECONDS)
        return waited

    def _hits(self, origin: str) -> bool:
        return not self._sources or origin in self._sources

    def _abort(self) -> None:
        for stream, origin in self._carried.items():
            if self._hits(origin):
                stream[1].transport.abort()
