"""The power of a region is cut, and none of its disks survives."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from drplatform.faults.servers_lost import ServersLost
from drplatform.model import ports, powers


@dataclass(frozen=True)
class RegionLost:
    """The power of a region is cut: every server of it is killed at once, and all their disks are lost."""

    region: str = "primary"

    lasting = True
    kind = "region-lost"

    def affects(self) -> frozenset[str]:
        return self._all.affects()

    def needs(self) -> frozenset[str]:
        return frozenset({f"killable:{self.region}", f"erasable:{self.region}"})

    def aim(self, scene: ports.Scene) -> powers.Aim:
        return self._all.aim(scene)

    def capture(self, scene: ports.Scene) -> Mapping[str, Any]:
        return self._all.capture(scene)

    def apply(self, scene: ports.Scene) -> None:
        self._all.apply(scene)

    def confirm(self, scene: ports.Scene, before: Mapping[str, Any]) -> ports.Receipt:
        return self._all.confirm(scene, before)

    def heal(self, scene: ports.Scene, before: Mapping[str, Any]) -> None:
        self._all.heal(scene, before)

    def healed(self, scene: ports.Scene, before: Mapping[str, Any]) -> bool:
        return self._all.healed(scene, before)

    @property
    def _all(self) -> ServersLost:
        return ServersLost(self.region, ("mongodb", "redis", "files"))


FAULT = RegionLost
