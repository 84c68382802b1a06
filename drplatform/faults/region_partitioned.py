"""A region is parted from the others, while its clients go on reaching it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from drplatform.faults import _servers
from drplatform.model import ports, powers


@dataclass(frozen=True)
class RegionPartitioned:
    """Nothing passes between a region and the others, either way; its servers run on, and whoever is beside them goes on using them."""

    region: str = "primary"

    kind = "region-partitioned"
    partitions = True
    """Replication from outside, by followers, is parted with it."""

    def affects(self) -> frozenset[str]:
        return frozenset(_servers.KINDS)

    def needs(self) -> frozenset[str]:
        return frozenset({f"hinderable:{self.region}", f"{powers.CUT}-network:{self.region}", "regions"})

    def aim(self, scene: ports.Scene) -> powers.Aim:
        """On both sides of the cut."""
        return _servers.aim(scene, [s for _, s in _all(scene)])

    def capture(self, scene: ports.Scene) -> Mapping[str, Any]:
        return {"servers": [s.name for _, s in _all(scene) if s.running()]}

    def apply(self, scene: ports.Scene) -> None:
        if isinstance(scene.platform, powers.Severable):
            others = tuple(r.name for r in scene.platform.regions if r.name != self.region)
            scene.platform.hinder(powers.Hindrance(powers.CUT, others, (self.region,)))
            return
        for region, server in _all(scene):
            _link(server).hinder(powers.CUT, self._beyond(scene, region))

    def confirm(self, scene: ports.Scene, before: Mapping[str, Any]) -> ports.Receipt:
        cut = [s.name for _, s in _all(scene) if _in_force(scene, s) == powers.CUT]
        return _servers.receipt(before["servers"], cut, f"{powers.carrier(scene.platform)} says: cut, both ways")

    def heal(self, scene: ports.Scene, before: Mapping[str, Any]) -> None:
        """Servers that were fenced since stay so."""
        if isinstance(scene.platform, powers.Severable):
            scene.platform.unhinder()
        else:
            for _, server in _all(scene):
                _link(server).unhinder()
        _servers.start_again((s for _, s in _all(scene)), before)

    def healed(self, scene: ports.Scene, before: Mapping[str, Any]) -> bool:
        return _servers.all_run((s for _, s in _all(scene)), before) and not any(_in_force(scene, s) for _, s in _all(scene))

    def _beyond(self, scene: ports.Scene, region: str) -> list[str]:
        """From where nothing may come to the region."""
        return [r.name for r in scene.platform.regions if r.name != self.region] if region == self.region else [self.region]


def _all(scene: ports.Scene) -> Iterator[tuple[str, ports.Instance]]:
    return ((r.name, s) for r in scene.platform.regions for s in r.instances if s.kind in _servers.KINDS)


def _in_force(scene: ports.Scene, server: ports.Instance) -> str:
    if isinstance(scene.platform, powers.Severable):
        found = scene.platform.hindered()
        return found.how if found else ""
    return _link(server).hindered()


def _link(server: ports.Instance) -> powers.Hinderable:
    assert isinstance(server, powers.Hinderable)  # the plan has made sure
    return server


FAULT = RegionPartitioned
