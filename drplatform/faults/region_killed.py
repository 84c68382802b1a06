"""A region dies: every server of it is killed at once, disks are kept."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from drplatform.faults import _servers
from drplatform.model import ports, powers


@dataclass(frozen=True)
class RegionKilled:
    """Every server of a region is killed at once; their disks are kept."""

    region: str = "primary"

    kind = "region-killed"

    def affects(self) -> frozenset[str]:
        return frozenset({"mongodb", "redis", "files"})

    def needs(self) -> frozenset[str]:
        return frozenset({f"killable:{self.region}"})

    def aim(self, scene: ports.Scene) -> powers.Aim:
        return _servers.aim(scene, self._servers(scene))

    def capture(self, scene: ports.Scene) -> Mapping[str, Any]:
        return {"servers": [i.name for i in self._servers(scene) if i.running()]}

    def apply(self, scene: ports.Scene) -> None:
        for server in self._servers(scene):
            assert isinstance(server, ports.Killable)
            server.kill()

    def confirm(self, scene: ports.Scene, before: Mapping[str, Any]) -> ports.Receipt:
        down = tuple(i.name for i in self._servers(scene) if i.name in before["servers"] and not i.running())
        if len(down) < len(before["servers"]):
            return ports.Receipt((), f"only {len(down)} of {len(before['servers'])} servers are down")
        return ports.Receipt(down, "no process, and nothing listens at their addresses")

    def heal(self, scene: ports.Scene, before: Mapping[str, Any]) -> None:
        """Servers that ran before and do not run now start again."""
        for server in self._servers(scene):
            if server.name in before["servers"] and not server.running():
                server.start()

    def healed(self, scene: ports.Scene, before: Mapping[str, Any]) -> bool:
        return all(i.running() for i in self._servers(scene) if i.name in before["servers"])

    def _servers(self, scene: ports.Scene) -> list[ports.Instance]:
        return [i for r in scene.platform.regions if r.name == self.region for i in r.instances]


FAULT = RegionKilled
