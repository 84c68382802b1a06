"""The network in front of servers is hindered: what faults on it share."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from drplatform.faults import _servers
from drplatform.model import ports, powers


@dataclass(frozen=True)
class OnLinks(_servers.OnServers):
    """The way to servers of some stores in a region, for everybody or for `sources` only: names of regions, or `clients`."""

    stores: tuple[str, ...] = ("redis",)
    sources: tuple[str, ...] = ()

    how = ""

    def needs(self) -> frozenset[str]:
        """Of the sources, too: what comes from nowhere could be cut for nobody to notice."""
        ends = (self.region, *(source for source in self.sources if source != powers.CLIENTS))
        return frozenset({f"{self.how}-network:{self.region}", *(f"hinderable:{end}" for end in ends)})

    def capture(self, scene: ports.Scene) -> Mapping[str, Any]:
        return {"servers": [s.name for s in self.servers(scene) if s.running()]}

    def apply(self, scene: ports.Scene) -> None:
        if isinstance(scene.platform, powers.Severable):
            scene.platform.hinder(self._hindrance(scene))
            return
        for server in self.servers(scene):
            _link(server).hinder(self.how, self.sources, **self.more())

    def confirm(self, scene: ports.Scene, before: Mapping[str, Any]) -> ports.Receipt:
        hindered = [s.name for s in self.servers(scene) if self._in_force(scene, s) == self.how]
        return _servers.receipt(before["servers"], hindered, f"{powers.carrier(scene.platform)} says: {self.how}")

    def heal(self, scene: ports.Scene, before: Mapping[str, Any]) -> None:
        if isinstance(scene.platform, powers.Severable):
            scene.platform.unhinder()
        else:
            for server in self.servers(scene):
                _link(server).unhinder()
        _servers.start_again(self.servers(scene), before)

    def healed(self, scene: ports.Scene, before: Mapping[str, Any]) -> bool:
        return _servers.all_run(self.servers(scene), before) and not any(self._in_force(scene, s) for s in self.servers(scene))

    def _hindrance(self, scene: ports.Scene) -> powers.Hindrance:
        """For platforms that hinder the network as a whole."""
        others = (*(r.name for r in scene.platform.regions if r.name != self.region), powers.CLIENTS)
        kinds = tuple(dict.fromkeys(s.kind for s in self.servers(scene)))
        return powers.Hindrance(self.how, self.sources or others, (self.region,), kinds, **self.more())

    def _in_force(self, scene: ports.Scene, server: ports.Instance) -> str:
        if isinstance(scene.platform, powers.Severable):
            found = scene.platform.hindered()
            return found.how if found else ""
        return _link(server).hindered()

    def more(self) -> Mapping[str, Any]:
        """What else is to be said of how it is hindered."""
        return {}


def _link(server: ports.Instance) -> powers.Hinderable:
    assert isinstance(server, powers.Hinderable)  # the plan has made sure
    return server
