"""Pods die, and with them the disks of the servers in them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from drplatform.faults import _pods, _servers
from drplatform.model import ports, powers


@dataclass(frozen=True)
class PodKilled(_servers.OnServers):
    """The pods of some stores' servers in a region are deleted at once, by default one; empty ones come in their place."""

    stores: tuple[str, ...] = ("redis",)
    count: int = 1

    lasting = True
    kind = "pod-killed"

    def needs(self) -> frozenset[str]:
        return frozenset({"pods"})

    def aim(self, scene: ports.Scene) -> powers.Aim:
        return _servers.aim(scene, self.servers(scene), destroys=True)

    def capture(self, scene: ports.Scene) -> Mapping[str, Any]:
        return _pods.capture(scene, self.region, self.servers(scene))

    def apply(self, scene: ports.Scene) -> None:
        _pods.cluster(scene).delete_pods(self.region, [s.name for s in self.servers(scene)])

    def confirm(self, scene: ports.Scene, before: Mapping[str, Any]) -> ports.Receipt:
        return _servers.receipt(before["servers"], _pods.replaced(scene, self.region, before), "the cluster has their pods no more")

    def heal(self, scene: ports.Scene, before: Mapping[str, Any]) -> None:
        """Servers that nobody has brought back start again, empty."""
        _servers.start_again(self.servers(scene), before)

    def healed(self, scene: ports.Scene, before: Mapping[str, Any]) -> bool:
        return _pods.healed(scene, self.region, self.servers(scene), before)


FAULT = PodKilled
