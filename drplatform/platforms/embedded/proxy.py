"""A TCP proxy in front of one server, in a process of its own: it passes on, or hinders, as a file beside it says.

    python -m drplatform.platforms.embedded.proxy LISTEN_HOST LISTEN_PORT SERVER_PORT ORDERS

ORDERS is a JSON file that is read again when it changes: `how` (pass, cut, reset, slow, lossy, narrow), `sources` (names of regions, or
`clients`; empty: everybody), `one_way`, `seconds`, `share`, `rate`. What is in force is written into ORDERS.seen.

It carries streams, not packets. Of lost packets it does what users of TCP see (RFC 6298): when the last packet of a burst is lost, everything
waits until it is sent again, after Linux's shortest time-out (200 ms), twice as long each time it is lost again. Losses inside a burst, which fast
retransmission mends within a round trip (RFC 5681), cost nothing here, and the sender's window does not shrink.

Who connects is told by which of the platform's servers, by the states that they keep, holds the other end of the connection (proc(5)). That look is
not given to a thread: while the loop is busy, a thread waits for it at each of a thousand system calls.
"""

import asyncio
import contextlib
import json
import os
import random
import socket
import struct
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PASS, CUT, RESET = "pass", "cut", "reset"
CLIENTS = "clients"
PERIOD = 0.05
CHUNK = 64 * 1024
_SOCK_DIAG, _BY_FAMILY, _REQUEST, _NO_COOKIE, _HEADER = 4, 20, 1, (0xFFFFFFFF, 0xFFFFFFFF), 16
_INODE = _HEADER + 4 + 48 + 16
"""Where struct inet_diag_msg has it, behind a netlink header (linux/inet_diag.h)."""
SECONDS_TO_SEND_AGAIN, MOST_SECONDS = 0.2, 120.0


@dataclass(frozen=True)
class Orders:
    """What happens to connections from `sources`. `one_way`: only what clients send is held back, not what the server answers."""

    how: str = PASS
    sources: tuple[str, ...] = ()
    one_way: bool = False
    seconds: float = 0.0
    share: float = 0.0
    rate: float = 0.0
    number: int = 0
    """Which orders these are: whoever gave them waits until these very ones are in force."""

    @classmethod
    def read(cls, path: Path) -> "Orders":
        try:
            found: dict[str, Any] = json.loads(path.read_text())
        except (OSError, ValueError):
            return cls()
        seconds, share, rate = (float(found[name]) for name in ("seconds", "share", "rate"))
        return cls(str(found["how"]), tuple(found["sources"]), bool(found["one_way"]), seconds, share, rate, int(found["number"]))

    def concern(self, source: str) -> bool:
        return self.how != PASS and (not self.sources or source in self.sources)


@dataclass
class Side:
    """One connection of the proxy: who is at its other end, looked up only when somebody asks, since it takes a while."""

    peer: tuple[str, int]
    own: tuple[str, int]
    known: str = ""

    def source(self, orders: Orders, path: Path) -> str:
        if not self.known and orders.sources:
            self.known = _source(self.peer, self.own, path)
        return self.known


class Proxy:
    def __init__(self, host: str, port: int, server: int, orders: Path) -> None:
        self._host, self._port, self._server, self._path = host, port, server, orders
        self.orders, self._changed = Orders.read(orders), asyncio.Event()
        self._open: dict[asyncio.StreamWriter, Side] = {}
        self._chance = random.Random()
        self._free_at = {True: 0.0, False: 0.0}  # when the narrow way to the server, and back, has carried what was sent so far

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
                source = side.source(found, self._path)
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
        if self.orders.how == RESET and self.orders.concern(side.source(self.orders, self._path)):
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
                while (sent or not self.orders.one_way) and self._does(CUT, side):
                    await self._changed.wait()
                if self.orders.concern(side.source(self.orders, self._path)):
                    await asyncio.sleep(self._late(len(data), sent))
                writer.write(data)
                await writer.drain()

    def _late(self, count: int, sent: bool) -> float:
        """Seconds until so many bytes are through."""
        match self.orders.how:
            case "slow":
                return self.orders.seconds
            case "lossy":
                return self._sent_again()
            case "narrow":
                now = asyncio.get_running_loop().time()
                self._free_at[sent] = max(now, self._free_at[sent]) + count / self.orders.rate
                return self._free_at[sent] - now
            case _:
                return 0.0

    def _sent_again(self) -> float:
        waited, timeout = 0.0, SECONDS_TO_SEND_AGAIN
        while self._chance.random() < self.orders.share:
            waited, timeout = waited + timeout, min(2 * timeout, MOST_SECONDS)
        return waited

    def _does(self, how: str, side: Side) -> bool:
        return self.orders.how == how and self.orders.concern(side.source(self.orders, self._path))


def _abort(writer: asyncio.StreamWriter) -> None:
    """A reset instead of an orderly end."""
    with contextlib.suppress(OSError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def _source(peer: tuple[str, int], own: tuple[str, int], orders: Path) -> str:
    """The region of the server that has connected; CLIENTS for everybody else."""
    platform, inode = orders.parent.parent, _inode(peer, own)
    for state in platform.glob("*-*/state.json") if inode else ():
        with contextlib.suppress(OSError, ValueError):
            process = json.loads(state.read_text())["pid"]
            if process and _holds(Path(f"/proc/{process['number']}/fd"), f"socket:[{inode}]"):
                return state.parent.name.split("-")[1]
    return CLIENTS


def _holds(descriptors: Path, socket_name: str) -> bool:
    for one in os.scandir(descriptors):
        with contextlib.suppress(OSError):  # closed meanwhile
            if os.readlink(one) == socket_name:  # noqa: PTH115  -- a Path each would take most of the time
                return True
    return False


def _inode(peer: tuple[str, int], own: tuple[str, int]) -> int:
    """Of the socket of this machine with these ends, by sock_diag(7), which does not list them all; 0 when there is none."""
    ends = struct.pack("!HH4s12x4s12x", peer[1], own[1], socket.inet_aton(peer[0]), socket.inet_aton(own[0]))
    asked = struct.pack("=BBBBI", socket.AF_INET, socket.IPPROTO_TCP, 0, 0, 0xFFFFFFFF) + ends + struct.pack("=III", 0, *_NO_COOKIE)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _SOCK_DIAG) as kernel:
        kernel.settimeout(1.0)
        kernel.send(struct.pack("=IHHII", _HEADER + len(asked), _BY_FAMILY, _REQUEST, 1, 0) + asked)
        answer = kernel.recv(4096)
    if struct.unpack_from("=H", answer, 4)[0] != _BY_FAMILY:
        return 0
    return int(struct.unpack_from("=I", answer, _INODE)[0])


if __name__ == "__main__":
    asyncio.run(Proxy(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])).run())
