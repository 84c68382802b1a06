"""Single servers die; their disks are kept."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from drplatform.faults import _servers
from drplatform.model import ports


@dataclass(frozen=True)
class ServerKilled(_servers.OnServers):
    """Servers of some stores in a region are killed (SIGKILL), by default one; their disks are kept."""

    stores: tuple[str, ...] = ("mongodb",)
    count: int = 1

    kind = "server-killed"

    def needs(self) -> frozenset[str]:
        return frozenset({f"killable:{self.region}"})

    def capture(self, scene: ports.Scene) -> Mapping[str, Any]:
        return {"servers": [s.name for s in self.servers(scene) if s.running()]}

    def apply(self, scene: ports.Scene) -> None:
        for server in self.servers(scene):
            assert isinstance(server, ports.Killable)
            server.kill()

    def confirm(self, scene: ports.Scene, before: Mapping[str, Any]) -> ports.Receipt:
        down = [s.name for s in self.servers(scene) if not s.running()]
        return _servers.receipt(before["servers"], down, "no process, and nothing listens at their addresses")

    def heal(self, scene: ports.Scene, before: Mapping[str, Any]) -> None:
        _servers.start_again(self.servers(scene), before)

    def healed(self, scene: ports.Scene, before: Mapping[str, Any]) -> bool:
        return _servers.all_run(self.servers(scene), before)


FAULT = ServerKilled
