"""A server is caught in a loop of restarts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from drplatform.faults import _servers
from drplatform.model import errors, ports


@dataclass(frozen=True)
class ServerRestarting(_servers.OnServers):
    """Servers of some stores in a region are killed and started again, `times` times one after another, by default one server."""

    stores: tuple[str, ...] = ("redis",)
    count: int = 1
    times: int = 3

    kind = "server-restarting"

    def needs(self) -> frozenset[str]:
        return frozenset({f"killable:{self.region}", f"traceable:{self.region}"})

    def capture(self, scene: ports.Scene) -> Mapping[str, Any]:
        """Which process each server is."""
        if self.times < 1:
            raise errors.SettingsError("A loop of restarts needs at least one of them; say times: 1 or more.")
        running = [s for s in self.servers(scene) if s.running()]
        return {"servers": [s.name for s in running], "started": {s.name: _servers.trace(s)["started"] for s in running}}

    def apply(self, scene: ports.Scene) -> None:
        for _ in range(self.times):
            for server in self.servers(scene):
                assert isinstance(server, ports.Killable)
                server.kill()
                server.start()

    def confirm(self, scene: ports.Scene, before: Mapping[str, Any]) -> ports.Receipt:
        others = [s.name for s in self.servers(scene) if _servers.trace(s).get("started") != before["started"].get(s.name)]
        return _servers.receipt(before["servers"], others, f"other processes than before, after {self.times} starts")

    def heal(self, scene: ports.Scene, before: Mapping[str, Any]) -> None:
        """A loop that was broken off may have left a server killed."""
        _servers.start_again(self.servers(scene), before)

    def healed(self, scene: ports.Scene, before: Mapping[str, Any]) -> bool:
        return _servers.all_run(self.servers(scene), before)


FAULT = ServerRestarting
