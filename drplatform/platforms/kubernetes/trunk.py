"""Many connections carried by one: all that the runner does in a cluster goes through one connection of a `kubectl port-forward`.

Each connection through a port-forward costs the API server and a kubelet work, and one that is reset ends them all. The standard library only: it is
put into pods beside `machine.py`. A frame is the number of a connection (4 bytes), a kind (1), a length (4), and so many bytes, big-endian.
Each end may send WINDOW bytes of a connection more than the other has taken out, so that one which nobody reads holds up no other.
"""

import asyncio
import contextlib
import struct
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

OPEN, DATA, END, GONE, MORE = range(5)
"""A new connection; bytes; no bytes will come any more; it is over; so many bytes more may be sent."""
WINDOW = 256 * 1024
LINE_BYTES = 16 * 1024 * 1024
"""Of one line, which is taken in as it comes."""
_HEAD, _COUNT = struct.Struct(">IBI"), struct.Struct(">I")
Send = Callable[[int, bytes], None]


class Reader(asyncio.StreamReader):
    """What came of one connection. Whoever sends is told what was taken out."""

    def __init__(self, send: Send) -> None:
        super().__init__(limit=LINE_BYTES)
        self._send, self._untold, self._at_once = send, 0, False

    def feed_data(self, data: Any) -> None:
        super().feed_data(data)
        self._untold += len(data)
        if self._at_once:
            self._tell(self._untold)

    async def read(self, n: int = -1) -> bytes:
        data = await super().read(n)
        self._tell(min(len(data), self._untold))
        return data

    async def readline(self) -> bytes:
        self._at_once = True
        self._tell(self._untold)
        try:
            return await super().readline()
        finally:
            self._at_once = False

    def _tell(self, count: int) -> None:
        if count:
            self._untold -= count
            self._send(MORE, _COUNT.pack(count))


class Writer:
    """As much of an `asyncio.StreamWriter` as is used here."""

    def __init__(self, send: Send, drained: Callable[[], Awaitable[None]]) -> None:
        self._send, self._drained = send, drained
        self._left, self._waiting, self._more = WINDOW, bytearray(), asyncio.Event()
        self._ended = self._closed = self.over = False
        self.transport = self

    def write(self, data: bytes) -> None:
        self._waiting += data
        self._pass_on()

    async def drain(self) -> None:
        while self._waiting and not self.over:
            self._more.clear()
            await self._more.wait()
        if self.over:
            raise ConnectionResetError("the other end is gone")
        await self._drained()

    def write_eof(self) -> None:
        self._ended = True
        self._pass_on()

    def close(self) -> None:
        """What was written is still sent, as far as the other end takes it."""
        self._closed = True
        self._pass_on()

    def abort(self) -> None:
        self._waiting.clear()
        self.close()

    def more(self, count: int) -> None:
        self._left += count
        self._pass_on()

    def lose(self) -> None:
        """The other end, or the trunk, is gone."""
        self.over = True
        self._waiting.clear()
        self._more.set()

    def _pass_on(self) -> None:
        if self.over:
            return
        if now := bytes(self._waiting[: self._left]):
            del self._waiting[: len(now)]
            self._left -= len(now)
            self._send(DATA, now)
        if self._waiting:
            return
        self._more.set()
        if self._closed:
            self.over = True
            self._send(GONE, b"")
        elif self._ended:
            self._ended = False
            self._send(END, b"")


Carried = tuple[Reader, Writer]
Serve = Callable[[Any, Any], Coroutine[Any, Any, None]]


class Trunk:
    """One end. Whoever `open`s connections does so at one end only; the other end's `serve` is given the two sides of each."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, serve: Serve | None = None) -> None:
        self._reader, self._writer, self._serve = reader, writer, serve
        self._carried: dict[int, Carried] = {}
        self._served = set[asyncio.Future[None]]()
        self._number, self._over, self._draining = 0, False, asyncio.Lock()

    def open(self) -> Carried:
        """A connection to the other end. Raises ConnectionError when the trunk is over."""
        if self._over:
            raise ConnectionResetError("the way is over")
        self._number += 1
        self._frame(self._number, OPEN)
        return self._made(self._number)

    async def run(self) -> None:
        """Until either end is gone; every connection of it ends then."""
        try:
            while True:
                number, kind, length = _HEAD.unpack(await self._reader.readexactly(_HEAD.size))
                if length > WINDOW:
                    raise OSError("no frame is so long")
                self._take(number, kind, await self._reader.readexactly(length))
        except (OSError, EOFError):
            pass
        finally:
            self._over = True
            for reader, writer in self._carried.values():
                writer.lose()
                reader.feed_eof()
            self._writer.close()

    def _take(self, number: int, kind: int, data: bytes) -> None:
        if kind == OPEN and self._serve:
            self._served.add(task := asyncio.ensure_future(self._serve(*self._made(number))))
            task.add_done_callback(self._served.discard)
        if number not in self._carried:
            return
        reader, writer = self._carried[number]
        if kind == DATA:
            reader.feed_data(data)
        elif kind == MORE:
            writer.more(_COUNT.unpack(data)[0])
        elif kind in (END, GONE):
            reader.feed_eof()
        if kind == GONE:
            writer.lose()
            del self._carried[number]

    def _made(self, number: int) -> Carried:
        def send(kind: int, data: bytes) -> None:
            self._frame(number, kind, data)
            if kind == GONE and (ended := self._carried.pop(number, None)):
                ended[0].feed_eof()

        made = self._carried[number] = Reader(send), Writer(send, self._drained)
        return made

    def _frame(self, number: int, kind: int, data: bytes = b"") -> None:
        if not self._over:
            with contextlib.suppress(OSError, RuntimeError):
                self._writer.write(_HEAD.pack(number, kind, len(data)) + data)

    async def _drained(self) -> None:
        async with self._draining:
            await self._writer.drain()
