"""A process of the runner: takes connections at the addresses of all servers and carries them into their cluster, through one pod of it.

    python -m drplatform.platforms.kubernetes.forward DIRECTORY

DIRECTORY/forward.json, read again when it changes: `token`, `routes` (see `carrying.Routes`), `back` (gateway, entry and address: who connects there in
that pod reaches the same address here), and how the gateways are reached, by name: `gateways`
(host:port), or `commands` (a `kubectl port-forward` that says at which port it listens; started again when it ends, or carries nothing any more).
"""

import asyncio
import contextlib
import functools
import json
import re
import sys
from pathlib import Path
from typing import Any

from drplatform.model.powers import CLIENTS
from drplatform.platforms.kubernetes.carrying import Routes, Stream, Way, dialled, joined
from drplatform.platforms.kubernetes.machine import take_all_descriptors
from drplatform.platforms.kubernetes.trunk import Trunk

FILE, SEEN = "forward.json", "forward.seen"
PERIOD = 0.1
SECONDS_TO_ANSWER, SECONDS_BETWEEN = 15.0, 2.0
"""For the gateway, when it is asked whether the way to it still carries anything, and from one such question to the next."""
_LISTENS = re.compile(rb"Forwarding from (127\.0\.0\.1:\d+)")


async def follow(directory: Path) -> None:
    """Set the routes of the file, again and again; SEEN then holds its number."""
    told = read(directory)
    forwardings = {name: Forwarding(command, told["token"], port(directory, name)) for name, command in told["commands"].items()}
    keepers = [asyncio.ensure_future(forwarding.keep()) for forwarding in forwardings.values()]
    ways: dict[str, Way] = {name: forwarding.open for name, forwarding in forwardings.items()}
    ways |= {name: functools.partial(dialled, address) for name, address in told["gateways"].items()}
    routes = Routes(told["token"], ways, origin=CLIENTS)
    number, returns = -1, dict[tuple[str, str, str], asyncio.Future[None]]()
    while True:
        told = read(directory)
        for back in ((gateway, entry, address) for gateway, entry, address in told["back"]):
            if back not in returns:
                returns[back] = asyncio.ensure_future(carry_back(ways[back[0]], told["token"], *back[1:]))
        if told["number"] != number and all(port(directory, name).exists() for name in forwardings):
            await routes.set([tuple(route) for route in told["routes"]])
            number = told["number"]
            (directory / SEEN).write_text(str(number))
        for keeper in keepers:
            if keeper.done():
                keeper.result()
        await asyncio.sleep(PERIOD)


async def carry_back(way: Way, token: str, entry: str, address: str) -> None:
    """What connects to the address in a pod reaches the same address here. For ever: one connection is waited for at a time."""
    lines = [{"token": token, "to": entry}, {"token": token, "do": "accept", "address": address}]
    carried = set[asyncio.Future[None]]()
    while True:
        try:
            reader, writer = await way()
            writer.write(b"".join(json.dumps(line).encode() + b"\n" for line in lines))
            if await reader.readline():
                carried.add(task := asyncio.ensure_future(meet((reader, writer), address)))
                task.add_done_callback(carried.discard)
                continue
            writer.close()
        except (OSError, ValueError):
            pass
        await asyncio.sleep(PERIOD)


async def meet(stream: Stream, address: str) -> None:
    try:
        found = await dialled(address)
    except OSError:
        stream[1].close()
        return
    await joined(stream, found)


def port(directory: Path, gateway: str) -> Path:
    """The file with the port at which the way to the gateway begins here."""
    return directory / f"{gateway or 'gateway'}.port"


class Forwarding:
    """A command like `kubectl port-forward`, which runs for ever, and the one connection through it that carries all others. `begins`: see `port`."""

    def __init__(self, command: list[str], token: str, begins: Path) -> None:
        self._command, self._token, self._begins = command, token, begins
        self._trunk: Trunk | None = None
        self._listener: asyncio.Server | None = None

    async def open(self) -> Stream:
        """A connection to the gateway. Raises OSError while there is no way to it."""
        if self._trunk is None:
            raise ConnectionRefusedError("the way into the cluster is not open")
        return self._trunk.open()

    async def keep(self) -> None:
        """Run the command for ever. One that hangs is ended: with it all connections, so that users notice."""
        while True:
            process = await asyncio.create_subprocess_exec(*self._command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE)
            assert process.stdout
            carrying = None
            try:
                async for line in process.stdout:
                    if found := _LISTENS.match(line):
                        carrying = carrying or asyncio.ensure_future(self._carry(process, found[1].decode()))
            finally:
                if carrying:
                    carrying.cancel()
                with contextlib.suppress(ProcessLookupError):
                    process.kill()  # it has ended, or is not wanted any more
                await process.wait()
            await asyncio.sleep(PERIOD)

    async def _carry(self, process: asyncio.subprocess.Process, address: str) -> None:
        """Until it carries nothing any more; then the command is ended."""
        try:
            async with asyncio.timeout(SECONDS_TO_ANSWER):
                reader, writer = await self._joined(address)
            self._trunk = made = Trunk(reader, writer)
            running = asyncio.ensure_future(made.run())
            try:
                await self._listen()
                while not running.done() and await self.answers():
                    await asyncio.wait((running,), timeout=SECONDS_BETWEEN)
            finally:
                self._trunk = None
                running.cancel()
        except (OSError, TimeoutError):
            pass
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()

    async def _joined(self, address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, _, port = address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(json.dumps({"token": self._token, "do": "trunk"}).encode() + b"\n")
        if not await reader.readline():
            writer.close()
            raise ConnectionResetError("nobody is there")
        return reader, writer

    async def _listen(self) -> None:
        """Whoever of the runner has something to say to the gateway connects at this port."""
        if self._listener is None:
            self._listener = await asyncio.start_server(self._pass_on, "127.0.0.1", 0)
            self._begins.write_text(str(self._listener.sockets[0].getsockname()[1]))

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            found = await self.open()
        except OSError:
            writer.close()
            return
        await joined((reader, writer), found)

    async def answers(self) -> bool:
        """Whether the machine at the other end answers in time. A connection that is refused or ended is an answer, too: nothing hangs."""
        try:
            async with asyncio.timeout(SECONDS_TO_ANSWER):
                reader, writer = await self.open()
                try:
                    writer.write(json.dumps({"token": self._token, "do": "hindered"}).encode() + b"\n")
                    await reader.readline()
                finally:
                    writer.close()
        except TimeoutError:
            return False
        except OSError:
            return True
        return True


def read(directory: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((directory / FILE).read_text())
    return found


if __name__ == "__main__":
    take_all_descriptors()
    asyncio.run(follow(Path(sys.argv[1])))
