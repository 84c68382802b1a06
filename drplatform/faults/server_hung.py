"""Servers hang: their connections stay open, nothing is answered."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from drplatform.faults import _servers
from drplatform.model import ports, powers


@dataclass(frozen=True)
class ServerHung(_servers.OnServers):
    """Servers of some stores in a region hang (SIGSTOP), by default one; connections stay open and nothing is answered."""

    stores: tuple[str, ...] = ("mongodb",)
    count: int = 1

    kind = "server-hung"

    def needs(self) -> frozenset[str]:
        return frozenset({f"pausable:{self.region}", f"traceable:{self.region}"})

    def capture(self, scene: ports.Scene) -> Mapping[str, Any]:
        return {"servers": [s.name for s in self.servers(scene) if _servers.trace(s)["process"] == "running"]}

    def apply(self, scene: ports.Scene) -> None:
        for server in self.servers(scene):
            assert isinstance(server, powers.Pausable)
            server.hang()

    def confirm(self, scene: ports.Scene, before: Mapping[str, Any]) -> ports.Receipt:
        hung = [s.name for s in self.servers(scene) if _servers.trace(s)["process"] == "paused"]
        return _servers.receipt(before["servers"], hung, "the operating system shows their processes as stopped")

    def heal(self, scene: ports.Scene, before: Mapping[str, Any]) -> None:
        """Those that were replaced or started anew meanwhile do not hang."""
        for server in self.servers(scene):
            assert isinstance(server, powers.Pausable)
            server.wake()
        _servers.start_again(self.servers(scene), before)

    def healed(self, scene: ports.Scene, before: Mapping[str, Any]) -> bool:
        return all(_servers.trace(s)["process"] == "running" for s in self.servers(scene) if s.name in before["servers"])


FAULT = ServerHung
