"""A TCP proxy in front of one server, in a process of its own: it passes on, or hinders, as a file beside it says.

    python -m drplatform.platforms.embedded.proxy LISTEN_HOST LISTEN_PORT SERVER_PORT ORDERS

ORDERS is a JSON file that is read again when it changes: `how` (pass, cut, reset, slow), `sources` (names of regions, or `clients`; empty:
everybody), `one_way`, `seconds`. What is in force is written into ORDERS.seen. Who connects is told by the working directory of the
process that holds the other end of the connection (proc(5)): servers of the platform run in theirs.
"""

import asyncio
import contextlib
import json
import socket
import struct
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PASS, CUT, RESET, SLOW = "pass", "cut", "reset", "slow"
CLIENTS = "clients"
PERIOD = 0.05
CHUNK = 64 * 1024


@dataclass(frozen=True)
class Orders:
    """What happens to connections from `sources`. `one_way`: only what clients send is held back, not what the server answers."""

    how: str = PASS
    sources: tuple[str, ...] = ()
    one_way: bool = False
    seconds: float = 0.0
    number: int = 0
    """Which orders these are: whoever gave them waits until these very ones are in force."""

    @classmethod
    def read(cls, path: Path) -> "Orders":
        try:
            found: dict[str, Any] = json.loads(path.read_text())
        except (OSError, ValueError):
            return cls()
        return cls(str(found["how"]), tuple(found["sources"]), bool(found["one_way"]), float(found["seconds"]), int(found["number"]))

    def concern(self, source: str) -> bool:
        return self.how != PASS and (not self.sources or source in self.sources)


@dataclass
class Side:
    """One connection of the proxy: who is at its other end, looked up only when somebody asks, since it takes a while."""

    peer: tuple[str, int]
    own: tuple[str, int]
    known: str = ""

    async def source(self, orders: Orders, path: Path) -> str:
        if not self.known and orders.sources:
            self.known = await asyncio.to_thread(_source, self.peer, self.own, path)
        return self.known


class Proxy:
    def __init__(self, host: str, port: int, server: int, orders: Path) -> None:
        self._host, self._port, self._server, self._path = host, port, server, orders
        self.orders, self._changed = Orders.read(orders), asyncio.Event()
        self._open: dict[asyncio.StreamWriter, Side] = {}

    async def run(self) -> None:
        listening = await asyncio.start_server(self._serve, self._host, self._port, backlog=512)
        async with listening:
            while True:
                await self._follow_orders()
                await asyncio.sleep(PERIOD)

    async def _follow_orders(self) -> None:
        found = Orders.read(self._path)
        if found != self.orders or not self._seen.exists():
            was, self.orders = self.orders, found
            for writer, side in list(self._open.items()):
                source = await side.source(found, self._path)
                if was.concern(source) or (found.how == RESET and found.concern(source)):
                    _abort(writer)  # both ends notice at once, instead of after a long silence
            self._changed.set()
            self._changed = asyncio.Event()
            self._seen.write_text(f"{found.how} {found.number}")

    @property
    def _seen(self) -> Path:
        return self._path.with_suffix(".seen")

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        side = Side(writer.get_extra_info("peername"), writer.get_extra_info("sockname"))
        if self.orders.how == RESET and self.orders.concern(await side.source(self.orders, self._path)):
            return _abort(writer)
        try:
            inner, outer = await asyncio.open_connection(self._host, self._server)
        except OSError:
            return _abort(writer)
        self._open |= {writer: side, outer: side}
        pumps = [self._pump(reader, outer, side, sent=True), self._pump(inner, writer, side, sent=False)]
        running = [asyncio.ensure_future(pump) for pump in pumps]
        try:
            await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in running:
                pump.cancel()
            for one in (writer, outer):
                self._open.pop(one, None)
                _abort(one)
        return None

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, side: Side, *, sent: bool) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK):
                while (sent or not self.orders.one_way) and await self._does(CUT, side):
                    await self._changed.wait()
                if await self._does(SLOW, side):
                    await asyncio.sleep(self.orders.seconds)
                writer.write(data)
                await writer.drain()

    async def _does(self, how: str, side: Side) -> bool:
        return self.orders.how == how and self.orders.concern(await side.source(self.orders, self._path))


def _abort(writer: asyncio.StreamWriter) -> None:
    """A reset instead of an orderly end."""
    with contextlib.suppress(OSError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def _source(peer: tuple[str, int], own: tuple[str, int], orders: Path) -> str:
    """The region of the server that has connected; CLIENTS for everybody else."""
    platform, inode = orders.parent.parent, _inode(peer, own)
    for process in Path("/proc").glob("[0-9]*") if inode else ():
        with contextlib.suppress(OSError):
            where = (process / "cwd").readlink()
            if platform in where.parents and any(str(d.readlink()) == f"socket:[{inode}]" for d in (process / "fd").iterdir()):
                return where.relative_to(platform).parts[0].split("-")[1]
    return CLIENTS


def _inode(peer: tuple[str, int], own: tuple[str, int]) -> str:
    wanted = [_hexadecimal(peer), _hexadecimal(own)]
    with contextlib.suppress(OSError):
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            row = line.split()
            if row[1:3] == wanted:
                return row[9]
    return ""


def _hexadecimal(address: tuple[str, int]) -> str:
    """As in /proc/net/tcp: the address in the machine's byte order."""
    return f"{int.from_bytes(socket.inet_aton(address[0]), sys.byteorder):08X}:{address[1]:04X}"


if __name__ == "__main__":
    asyncio.run(Proxy(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])).run())
