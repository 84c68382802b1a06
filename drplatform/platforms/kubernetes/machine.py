"""What runs in a pod: starts, signals and ends server processes when it is told to, and carries connections to and from them.

    python3 machine.py        (DRPLATFORM_TOKEN, DRPLATFORM_ENTRY in its environment)

The standard library only: it is put into pods as text, with `trunk.py` and `carrying.py` beside it, whatever the image holds. A connection begins with a line of JSON:
`token`, and either `to` (host:port, to which the rest is passed both ways) or `do` (see `Machine`), answered by a line of JSON; after that to
`trunk`, more such connections come within it.
Servers keep the loopback addresses that they have on one machine. `routes` tell where in the cluster, or behind which gateway, those of other pods are.
"""

import asyncio
import contextlib
import functools
import hmac
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

if __package__:
    from drplatform.platforms.kubernetes import trunk
    from drplatform.platforms.kubernetes.carrying import Hindrance, Outlet, Routes, Stream, dialled, joined
else:  # in a pod
    import trunk  # type: ignore[import-not-found,no-redef]
    from carrying import Hindrance, Outlet, Routes, Stream, dialled, joined  # type: ignore[import-not-found,no-redef]

DESCRIPTORS = 65_536
PYTHON = "@python"
"""As a command's first word: the interpreter that this runs on."""


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
        self._routes.ways = {name: functools.partial(dialled, address) for name, address in order["gateways"].items()}
        await self._routes.set([(str(host), int(port), str(entry), gateway) for host, port, entry, gateway in order["routes"]])
        return True

    def do_pod(self, order: Mapping[str, Any]) -> str:
        """The uid of the pod that answers."""
        return self._pod

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
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(now, DESCRIPTORS) if most == resource.RLIM_INFINITY else most, most))


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
