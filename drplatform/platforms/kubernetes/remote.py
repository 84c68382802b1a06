"""One server process in a pod: what `embedded.process.ServerProcess` is for a process of this machine; and the server that it is of."""

import json
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from drplatform.model import errors
from drplatform.model.ports import Address
from drplatform.platforms.embedded import layout
from drplatform.platforms.embedded.powers import ABSENT, RESOURCES, shown
from drplatform.platforms.embedded.process import LOG_TAIL_LINES, Pid, ServerProcess, Waits
from drplatform.platforms.embedded.server import Recipe, Serving
from drplatform.platforms.kubernetes import carrying, machine

SECONDS_TO_ANSWER = 20.0
SECONDS_TO_COME = 300.0
"""For a pod: its image may have to be pulled first."""
FILE_BYTES = 256 * 1024
"""What a server finds beside its disk is settings; nothing of it is larger."""
Ask = Callable[[str, Mapping[str, Any]], Any]
"""Ask the machine of a server. Raises Away when it does not answer."""


class Away(errors.StoreError):
    """The machine of a server does not answer: its pod is not there, or not yet."""


class Going(Away):
    """It says itself that its pod is about to go."""


class Unreached(Away):
    """Nothing is known of the machine: the way into its cluster does not carry anything. To a fault that is no sign of a dead server."""


def ask(gateway: Address, token: str, entry: str, order: Mapping[str, Any]) -> Any:
    """One order to the machine at `entry`, through the gateway; empty: to the gateway itself. Raises Away, or StoreError with what the machine says."""
    lines = [*([{"token": token, "to": entry}] if entry else []), {**order, "token": token}]
    entry = entry or str(gateway)
    try:
        with (
            socket.create_connection((gateway.host, gateway.port), timeout=SECONDS_TO_ANSWER) as connection,
            connection.makefile("rwb") as file,
        ):
            file.write(b"".join(json.dumps(line).encode() + b"\n" for line in lines))
            file.flush()
            answer = json.loads(file.readline())
    except (OSError, ValueError) as error:
        raise Away(f"The machine at {entry} does not answer ({type(error).__name__}); look at its pod.") from error
    if "away" in answer:
        raise Going(f"The machine at {entry} is going: {answer['away']}.")
    if "error" in answer:
        raise errors.StoreError(f"The machine at {entry} could not {order['do']}: {answer['error']}")
    return answer["ok"]


class RemoteProcess(ServerProcess):
    """The process of a key in the pod of a server. A `door` is a second one in the same pod."""

    def __init__(self, name: str, directory: Path, platform: Path, ask: Ask, waits: Waits, key: str) -> None:
        super().__init__(name, directory, platform, {}, waits)
        self._machine, self._ask, self._key = directory.name, ask, key

    def launch(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """When its pod is there. What lies beside the server's disk here is put beside it there."""
        with self._lock:
            self._waits.check()
            self._waits.until(
                f"the pod of {self.name}", lambda: self._say("bytes", directory="/nowhere") == 0, within=SECONDS_TO_COME, ignoring=(Away,)
            )
            files = {f.name: f.read_text() for f in self._directory.iterdir() if f.is_file() and f.stat().st_size < FILE_BYTES}
            disks = [str(d) for d in self._directory.iterdir() if d.is_dir()]
            order = {"directory": str(self._directory), "directories": disks, "files": files}
            words = [machine.PYTHON if word == sys.executable else word for word in command]
            number = self._say("launch", command=words, environment=dict(environment), **order)
            self.pid = Pid(int(number), 0)

    def clear(self) -> None:
        """A process of its key is ended when it is launched."""

    def alive(self) -> bool:
        return bool(self.order("alive"))

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        self._gone(carrying.SECONDS_TO_CONNECT + SECONDS_TO_ANSWER)

    def signal(self, number: int) -> None:
        self.order("signal", number=int(number))

    def listens(self, address: Address) -> bool:
        return bool(self.order("listens", address=str(address)))

    def last_words(self) -> str:
        try:
            lines = str(self._say("log")).splitlines()
        except errors.StoreError:
            return "no log"
        return " | ".join(line.strip()[:300] for line in lines[-LOG_TAIL_LINES:]) or "an empty log"

    def order(self, do: str, **more: Any) -> Any:
        """What the machine answers; None when it is away. Raises Unreached when that is not known."""
        try:
            return self._say(do, **more)
        except Unreached:
            raise
        except Away:
            return None

    def limit(self, number: int, value: int | None) -> bool:
        """Whether there is a process to limit."""
        return bool(self._say("limit", resource=number, value=value))

    def trace(self) -> Mapping[str, str]:
        if (found := self.order("trace")) is None:
            return ABSENT
        stat, limits, files = found
        return shown(str(stat), str(limits), int(files))

    def bytes(self, directory: Path) -> int:
        return int(self.order("bytes", directory=str(directory)) or 0)

    def _say(self, do: str, **more: Any) -> Any:
        return self._ask(self._machine, {"do": do, "key": self._key, **more})


class RemoteServer(Serving):
    """A server in a pod. Killed, its process ends and the pod stays, as a machine does; to lose its disk, the pod is deleted."""

    def __init__(self, place: layout.Place, directory: Path, recipe: Recipe, ask: Ask, delete: Callable[[str], None], waits: Waits) -> None:
        super().__init__(place, directory, recipe, {}, waits)
        self._main = RemoteProcess(place.name, self.directory, directory, ask, waits, place.name)
        self._beside = RemoteProcess(f"{place.name} (public)", self.directory, directory, ask, waits, f"{place.name}-door")
        self._main.pid, self._beside.pid = self._process.pid, self._door.pid
        self._process, self._door = self._main, self._beside
        self._delete = delete

    # -- Pausable, Limited, Traceable: by the machine in its pod ---------------------------------------------------------------------

    def hang(self) -> None:
        self._beside.signal(signal.SIGSTOP)
        self._main.signal(signal.SIGSTOP)
        self._waits.until(f"{self.name} to hang", lambda: self.trace()["process"] != "running", within=SECONDS_TO_ANSWER)

    def wake(self) -> None:
        self._main.signal(signal.SIGCONT)
        self._beside.signal(signal.SIGCONT)

    def limit(self, resource_name: str, value: int | None) -> None:
        if not self._main.limit(RESOURCES[resource_name], value):
            raise errors.StoreError(f"{self.name} does not run, so nothing of it can be limited; start it first.")
        self._beside.limit(RESOURCES[resource_name], value)

    def trace(self) -> Mapping[str, str]:
        return self._main.trace()

    # -- Hinderable: by what carries connections to it in its pod; it does not notice otherwise --------------------------------------

    def hinder(
        self, how: str, sources: Sequence[str], seconds: float = 0.0, one_way: bool = False, share: float = 0.0, rate: float = 0.0
    ) -> None:
        if not self._main.alive():
            raise errors.StoreError(f"{self.name} does not run, so nothing of its network can be hindered; start it first.")
        self._main.order("hinder", how=how, sources=list(sources), seconds=seconds, one_way=one_way, share=share, rate=rate)

    def unhinder(self) -> None:
        """A pod that came meanwhile hinders nothing."""
        self._main.order("unhinder")

    def hindered(self) -> str:
        return str(self._main.order("hindered") or "")

    def running(self) -> bool:
        return self._main.alive() and self._main.listens(self.listens_at)

    def erase(self) -> None:
        """Delete the pod, and with it all that it stored; another, empty one comes in its place."""
        if self._main.alive():
            raise errors.StoreError(f"{self.name} runs; stop or kill it before its disk is erased.")
        super().erase()
        self._delete(self.name)

    def stored_bytes(self) -> int:
        return self._main.bytes(self._disk)
