"""A process of the runner: takes connections at the addresses of all servers and carries them into the cluster, through one pod of it.

    python -m drplatform.platforms.kubernetes.forward DIRECTORY

DIRECTORY/forward.json, read again when it changes: `token`, `routes` (see `machine.Routes`), `back` (entry and address: who connects there in
that pod reaches the same address here), and how the gateway is reached: `gateway`
(host:port), or `command` (a `kubectl port-forward` that says at which port it listens; started again when it ends, or carries nothing any more).
"""

import asyncio
import contextlib
import json
import re
import sys
from pathlib import Path
from typing import Any

from drplatform.model.powers import CLIENTS
from drplatform.platforms.kubernetes.machine import Routes, Stream, dialled, joined

FILE, SEEN, PORT = "forward.json", "forward.seen", "forward.port"
PERIOD = 0.1
SECONDS_TO_ANSWER, SECONDS_BETWEEN = 15.0, 2.0
"""For the gateway, when it is asked whether the way to it still carries anything, and from one such question to the next."""
_LISTENS = re.compile(rb"Forwarding from (127\.0\.0\.1:\d+)")


async def follow(directory: Path) -> None:
    """Set the routes of the file, again and again; SEEN then holds its number."""
    told = read(directory)
    routes = Routes(told["token"], told.get("gateway", ""), origin=CLIENTS)
    if not routes.gateway:
        keeper = asyncio.ensure_future(keep(told["command"], routes, told["token"], directory))
    number, returns = -1, dict[tuple[str, str], asyncio.Future[None]]()
    while True:
        told = read(directory)
        for back in ((entry, address) for entry, address in told["back"]):
            if back not in returns:
                returns[back] = asyncio.ensure_future(carry_back(routes, told["token"], *back))
        if told["number"] != number and routes.gateway:
            await routes.set([tuple(route) for route in told["routes"]])
            number = told["number"]
            (directory / SEEN).write_text(str(number))
        if not told.get("gateway") and keeper.done():
            keeper.result()
        await asyncio.sleep(PERIOD)


async def carry_back(routes: Routes, token: str, entry: str, address: str) -> None:
    """What connects to the address in a pod reaches the same address here. For ever: one connection is waited for at a time."""
    lines = [{"token": token, "to": entry}, {"token": token, "do": "accept", "address": address}]
    carried = set[asyncio.Future[None]]()
    while True:
        try:
            reader, writer = await dialled(routes.gateway)
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


async def keep(command: list[str], routes: Routes, token: str, directory: Path) -> None:
    """Run the command for ever, and note where it listens, also in PORT. One that hangs is ended: with it all connections, so that users notice."""
    while True:
        process = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE)
        assert process.stdout
        watching = None
        try:
            async for line in process.stdout:
                if found := _LISTENS.match(line):
                    routes.gateway = found[1].decode()
                    (directory / PORT).write_text(routes.gateway.rpartition(":")[2])
                    watching = watching or asyncio.ensure_future(end_when_stuck(process, routes.gateway, token))
        finally:
            if watching:
                watching.cancel()
            with contextlib.suppress(ProcessLookupError):
                process.kill()  # it has ended, or is not wanted any more
            await process.wait()
        await asyncio.sleep(PERIOD)


async def end_when_stuck(process: asyncio.subprocess.Process, gateway: str, token: str) -> None:
    """Kill the process when the gateway is not heard through it any more."""
    while await answers(gateway, token):
        await asyncio.sleep(SECONDS_BETWEEN)
    with contextlib.suppress(ProcessLookupError):
        process.kill()


async def answers(gateway: str, token: str) -> bool:
    """Whether the machine at the other end answers in time. A connection that is refused or ended is an answer, too: nothing hangs."""
    try:
        async with asyncio.timeout(SECONDS_TO_ANSWER):
            reader, writer = await dialled(gateway)
            try:
                writer.write(json.dumps({"token": token, "do": "hindered"}).encode() + b"\n")
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
    asyncio.run(follow(Path(sys.argv[1])))
