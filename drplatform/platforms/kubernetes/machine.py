"""What runs in a pod: starts, signals and ends server processes when it is told to, and carries connections to and from them.

    python3 machine.py        (DRPLATFORM_TOKEN, DRPLATFORM_ENTRY in its environment)

The standard library only: it is put into pods as text, with `trunk.py` beside it, whatever the image holds. A connection begins with a line of JSON:
`token`, and either `to` (host:port, to which the rest is passed both ways) or `do` (see `Machine`), answered by a line of JSON; after that to
`trunk`, more such connections come within it.
Servers keep the loopback addresses that they have on one machine. `routes` tell where in the cluster those of other pods are.
"""

import asyncio
import contextlib
import hmac
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
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
PYTHON = "@python"
"""As a command's first word: the interpreter that this runs on."""
Route = tuple[str, int, str]
"""Host and port at which servers of other pods are known, and the entry (host:port) of the machine that they are on."""


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
    """Listeners at the addresses of servers elsewhere. With a `way` all go through the gateway that it leads to."""

    def __init__(self, token: str, way: Way | None = None, origin: str = "") -> None:
        self._token, self.way, self.origin = token, way, origin
        self._listeners: dict[tuple[str, int], asyncio.Server] = {}
        self._entries: dict[tuple[str, int], str] = {}

    async def set(self, routes: list[Route]) -> None:
        """Listen at these, and nowhere else."""
        wanted = {(host, port): entry for host, port, entry in routes}
        for key in [key for key in self._listeners if key not in wanted]:
            self._listeners.pop(key).close()
        self._entries = wanted
        for host, port in wanted.keys() - self._listeners.keys():
            self._listeners[host, port] = await asyncio.start_server(self._serve(host, port), host, port)

    def _serve(self, host: str, port: int) -> Any:
        async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                entry = self._entries[host, port]
                hops = [entry, f"{host}:{port}"] if self.way else [f"{host}:{port}"]
                found = await (self.way() if self.way else dialled(entry))
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


class Machine:
    """The processes of one pod, by key. They live as long as the pod does; so do their disks."""

    def __init__(self, token: str) -> None:
        self._token = token
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._routes = Routes(token)
        self._hindrance = Hindrance()
        self._pod = os.environ.get("DRPLATFORM_POD", "")
        self._waiting: dict[str, asyncio.Queue[Stream]] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: Outlet) -> None:
        try:
            order: dict[str, Any] = json.loads(await reader.readline())
            if not hmac.compare_digest(str(order.get("token", "")), self._token):
                raise PermissionError("no such token")
            if "to" in order:
                await self._hindrance.carry(str(order.get("from", "")), (reader, writer), order["to"])
                return
            if order["do"] == "accept":
                await self._accept(order["address"], (reader, writer))
                return
            if order["do"] == "trunk" and isinstance(writer, asyncio.StreamWriter):
                writer.write(b"{}\n")
                await trunk.Trunk(reader, writer, self.serve).run()
                return
            writer.write(json.dumps(await self._answer(order)).encode() + b"\n")
            await writer.drain()
        except (OSError, ValueError):
            pass
        finally:
            writer.close()

    async def _answer(self, order: Mapping[str, Any]) -> Mapping[str, Any]:
        if order.get("unless") == self._pod != "":
            return {"away": "the pod is about to go"}
        try:
            found = getattr(self, f"do_{order['do']}")(order)
            return {"ok": await found if asyncio.iscoroutine(found) else found}
        except (OSError, KeyError, AttributeError, ValueError) as error:
            return {"error": f"{type(error).__name__}: {error}"}

    async def _accept(self, address: str, teller: Stream) -> None:
        """Listen at the address, and give the teller the next connection there: a line first, then all that comes."""
        if address not in self._waiting:
            queue = self._waiting[address] = asyncio.Queue()
            host, _, port = address.rpartition(":")
            await asyncio.start_server(lambda reader, writer: queue.put((reader, writer)), host, int(port))
        taken, gone = asyncio.ensure_future(self._waiting[address].get()), asyncio.ensure_future(teller[0].read(1))
        await asyncio.wait((taken, gone), return_when=asyncio.FIRST_COMPLETED)
        if not taken.done():
            taken.cancel()
            return
        gone.cancel()
        teller[1].write(b"{}\n")
        await joined(taken.result(), teller)

    # -- what it can be told ---------------------------------------------------------------------------------------------------------

    async def do_routes(self, order: Mapping[str, Any]) -> bool:
        self._routes.origin = str(order.get("origin", ""))
        await self._routes.set([(str(host), int(port), str(entry)) for host, port, entry in order["routes"]])
        return True

    async def do_hinder(self, order: Mapping[str, Any]) -> bool:
        numbers = {name: float(order[name]) for name in ("seconds", "share", "rate")}
        self._hindrance.set(str(order["how"]), frozenset(order["sources"]), bool(order["one_way"]), **numbers)
        return True

    async def do_unhinder(self, order: Mapping[str, Any]) -> bool:
        self._hindrance.end()
        return True

    def do_hindered(self, order: Mapping[str, Any]) -> str:
        return self._hindrance.how

    def do_launch(self, order: Mapping[str, Any]) -> int:
        """Write the files, make the directories, and start the process of this key anew; its process id."""
        self._end(order["key"])
        directory = Path(order["directory"])
        for made in (directory, *map(Path, order["directories"])):
            made.mkdir(parents=True, exist_ok=True)
        for name, text in order["files"].items():
            self._write(directory / name, text)
        command = [sys.executable if word == PYTHON else word for word in order["command"]]
        command[0] = command[0] if Path(command[0]).is_file() else shutil.which(Path(command[0]).name) or command[0]
        with self._log(order["key"]).open("wb") as log:
            self._processes[order["key"]] = subprocess.Popen(
                command,
                cwd=directory,
                env={**os.environ, **order["environment"]},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                restore_signals=False,  # a file that cannot grow is then an error of the write, as on a full disk, and no SIGXFSZ
            )
        return self._processes[order["key"]].pid

    def do_alive(self, order: Mapping[str, Any]) -> bool:
        process = self._processes.get(order["key"])
        return process is not None and process.poll() is None

    def do_signal(self, order: Mapping[str, Any]) -> bool:
        if alive := self.do_alive(order):
            self._processes[order["key"]].send_signal(order["number"])
        return alive

    def do_limit(self, order: Mapping[str, Any]) -> bool:
        """Set a soft limit (setrlimit(2)) of the process of the key; no value: as high as it may be. False when there is no process."""
        if alive := self.do_alive(order):
            number = self._processes[order["key"]].pid
            _, hard = resource.prlimit(number, order["resource"])
            resource.prlimit(number, order["resource"], (hard if order["value"] is None else order["value"], hard))
        return alive

    def do_trace(self, order: Mapping[str, Any]) -> list[Any]:
        """What the kernel shows of the process of the key: /proc/PID/stat, /proc/PID/limits, how many files it has open; nothing without one."""
        if not self.do_alive(order):
            return ["", "", 0]
        at = Path(f"/proc/{self._processes[order['key']].pid}")
        return [(at / "stat").read_text(), (at / "limits").read_text(), len(list((at / "fd").iterdir()))]

    async def do_listens(self, order: Mapping[str, Any]) -> bool:
        """Whether something here takes a connection at the address."""
        try:
            _, writer = await dialled(order["address"])
        except OSError:
            return False
        writer.close()
        return True

    def do_log(self, order: Mapping[str, Any]) -> str:
        file = self._log(order["key"])
        return file.read_bytes()[-4000:].decode(errors="replace") if file.exists() else ""

    def do_bytes(self, order: Mapping[str, Any]) -> int:
        """Size of all files below the directory."""
        total = 0
        for file in Path(order["directory"]).rglob("*"):
            with contextlib.suppress(FileNotFoundError):
                total += file.lstat().st_size if file.is_file() else 0
        return total

    # -- details ---------------------------------------------------------------------------------------------------------------------

    def _write(self, file: Path, text: str) -> None:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as opened:
            opened.write(text)

    def _log(self, key: str) -> Path:
        return Path(os.environ.get("TMPDIR", "/tmp")) / f"{key}.log"

    def _end(self, key: str) -> None:
        if process := self._processes.pop(key, None):
            process.kill()
            process.wait()


def take_all_descriptors() -> None:
    """Of those that this process may have: while a network is cut, users connect again and again, and each connection is kept for a while."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def main() -> None:
    take_all_descriptors()
    token, entry = os.environ["DRPLATFORM_TOKEN"], int(os.environ["DRPLATFORM_ENTRY"])
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    machine = Machine(token)
    await asyncio.start_server(machine.serve, os.environ.get("DRPLATFORM_LISTEN", "0.0.0.0"), entry, limit=trunk.LINE_BYTES)
    await stopped.wait()


if __name__ == "__main__":
    asyncio.run(main())
