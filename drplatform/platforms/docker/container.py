"""One server as a container: what `embedded.process.ServerProcess` is for a process. Its process shows on this machine, too."""

import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from drplatform.model import errors
from drplatform.platforms.docker.engine import Container, Engine
from drplatform.platforms.docker.network import Networks
from drplatform.platforms.embedded import layout
from drplatform.platforms.embedded.process import LOG_TAIL_LINES, TAG, Pid, ServerProcess, Waits
from drplatform.platforms.embedded.server import Recipe, Server

PYTHON = "/opt/drplatform/bin/python3"
FAKETIME = Path("/usr/local/lib/libfaketime.so.1")
"""Both in the image; the second in ours, and in another perhaps."""


class ContainerProcess(ServerProcess):
    """At most one running container of a name. A `door` shares the network of the server that it is the door of."""

    def __init__(
        self, place: layout.Place, directory: Path, platform: Path, engine: Engine, networks: Networks, waits: Waits, door: bool
    ) -> None:
        super().__init__(place.name, directory, platform, {}, waits)
        self._place, self._platform, self._engine, self._networks, self._is_door = place, platform, engine, networks, door

    @property
    def container(self) -> str:
        return f"drplatform-{self._platform.name}-{self._place.name}" + ("-door" if self._is_door else "")

    def launch(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        with self._lock:
            self._waits.check()
            beside = f"drplatform-{self._platform.name}-{self._place.name}" if self._is_door else ""
            wanted = Container(
                self.container,
                [PYTHON if word == sys.executable else word for word in command],
                {**environment, TAG: str(self._platform), "TMPDIR": str(self._directory)},
                self._directory,
                self._platform,
                {} if beside else self._networks.addresses(self._place),
                beside,
            )
            number = self._engine.run(wanted)
            self.pid = Pid.of(number) if number else None

    def clear(self) -> None:
        """A container of its name is replaced when it is launched."""

    def signal(self, number: int) -> None:
        if self.alive():
            self._engine.signal(self.container, signal.Signals(number).name)

    def last_words(self) -> str:
        try:
            lines = self._engine.logs(self.container).splitlines()
        except errors.StoreError:
            return "no log"
        return " | ".join(line.strip()[:300] for line in lines[-LOG_TAIL_LINES:]) or "an empty log"

    def pause(self) -> None:
        if self.alive():
            self._engine.pause(self.container)

    def wake(self) -> None:
        self._engine.wake(self.container)

    def paused(self) -> bool:
        return self._engine.paused(self.container)


class ContainerServer(Server):
    """A server in a container. Its disk is a directory of this machine, mounted at the same path."""

    def __init__(self, place: layout.Place, directory: Path, recipe: Recipe, engine: Engine, networks: Networks, waits: Waits) -> None:
        super().__init__(place, directory, recipe, {}, waits)
        self._main = ContainerProcess(place, self.directory, directory, engine, networks, waits, door=False)
        self._beside = ContainerProcess(place, self.directory, directory, engine, networks, waits, door=True)
        self._main.pid, self._beside.pid = self._process.pid, self._door.pid
        self._process, self._door = self._main, self._beside
        self._engine, self._platform = engine, directory

    def faketime(self) -> Path | None:
        return FAKETIME if self._engine.loads(FAKETIME, self._platform) else None

    @property
    def container(self) -> str:
        return self._main.container

    def hang(self) -> None:
        self._beside.pause()
        self._main.pause()

    def wake(self) -> None:
        self._main.wake()
        self._beside.wake()

    def trace(self) -> Mapping[str, str]:
        found = super().trace()
        return {**found, "process": "paused"} if found["process"] != "absent" and self._main.paused() else found
