"""A process of the runner: takes connections at the addresses of all servers and carries them into the cluster, through one pod of it.

    python -m drplatform.platforms.kubernetes.forward DIRECTORY

DIRECTORY/forward.json, read again when it changes: `token`, `routes` (see `machine.Routes`), and how the gateway is reached: `gateway`
(host:port), or `command` (a `kubectl port-forward` that says at which port it listens; started again when it ends).
"""

import asyncio
import json
import re
import sys
from pathlib import Path
from typing import Any

from drplatform.platforms.kubernetes.machine import Routes

FILE, SEEN, PORT = "forward.json", "forward.seen", "forward.port"
PERIOD = 0.1
_LISTENS = re.compile(rb"Forwarding from (127\.0\.0\.1:\d+)")


async def follow(directory: Path) -> None:
    """Set the routes of the file, again and again; SEEN then holds its number."""
    told = read(directory)
    routes = Routes(told["token"], told.get("gateway", ""))
    if not routes.gateway:
        keeper = asyncio.ensure_future(keep(told["command"], routes, directory))
    number = -1
    while True:
        told = read(directory)
        if told["number"] != number and routes.gateway:
            await routes.set([tuple(route) for route in told["routes"]])
            number = told["number"]
            (directory / SEEN).write_text(str(number))
        if not told.get("gateway") and keeper.done():
            keeper.result()
        await asyncio.sleep(PERIOD)


async def keep(command: list[str], routes: Routes, directory: Path) -> None:
    """Run the command for ever, and note where it listens, also in PORT."""
    while True:
        process = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE)
        assert process.stdout
        async for line in process.stdout:
            if found := _LISTENS.match(line):
                routes.gateway = found[1].decode()
                (directory / PORT).write_text(routes.gateway.rpartition(":")[2])
        await process.wait()
        await asyncio.sleep(PERIOD)


def read(directory: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((directory / FILE).read_text())
    return found


if __name__ == "__main__":
    asyncio.run(follow(Path(sys.argv[1])))
