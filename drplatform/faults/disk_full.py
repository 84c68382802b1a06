"""The disks of servers are full."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from drplatform.faults import _limits, _servers
from drplatform.model import ports, powers


@dataclass(frozen=True)
class DiskFull(_servers.OnServers):
    """No file of some stores' servers in a region can be written any further: each such write fails (with EFBIG where a disk has ENOSPC)."""

    stores: tuple[str, ...] = ("redis",)

    kind = "disk-full"

    def needs(self) -> frozenset[str]:
        return frozenset({f"limited:{self.region}", f"traceable:{self.region}"})

    def capture(self, scene: ports.Scene) -> Mapping[str, Any]:
        return _limits.capture(self.servers(scene), powers.FILE_SIZE)

    def apply(self, scene: ports.Scene) -> None:
        for server in self.servers(scene):
            assert isinstance(server, powers.Limited)
            server.limit(powers.FILE_SIZE, 1)

    def confirm(self, scene: ports.Scene, before: Mapping[str, Any]) -> ports.Receipt:
        return _limits.confirm(self.servers(scene), before, powers.FILE_SIZE, "the kernel lets none of their files grow")

    def heal(self, scene: ports.Scene, before: Mapping[str, Any]) -> None:
        _limits.heal(self.servers(scene), before, powers.FILE_SIZE)

    def healed(self, scene: ports.Scene, before: Mapping[str, Any]) -> bool:
        return _limits.healed(self.servers(scene), before, powers.FILE_SIZE)


FAULT = DiskFull
