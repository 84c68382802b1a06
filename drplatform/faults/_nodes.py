"""Nodes of a cluster take pods no more: what faults on the nodes of a region share. Pods of others on them are left alone."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from drplatform.faults import _pods, _servers
from drplatform.model import errors, ports, powers


@dataclass(frozen=True)
class OnNodes:
    """All servers of a region, by its nodes. Another region may not share them."""

    region: str = "primary"

    lasting = True

    def affects(self) -> frozenset[str]:
        return frozenset(_servers.KINDS)

    def needs(self) -> frozenset[str]:
        return frozenset({"pods"})

    def aim(self, scene: ports.Scene) -> powers.Aim:
        """The nodes and the servers, out of those of all regions. Raises Inconclusive when the nodes are another region's, too."""
        cluster = _pods.cluster(scene)
        found = {region.name: set(cluster.nodes(region.name)) for region in scene.platform.regions}
        mine = found.pop(self.region, set())
        if not mine or any(mine & others for others in found.values()):
            raise errors.Inconclusive(f"The region {self.region} has no nodes of its own; label some with drplatform.io/region.")
        servers = _servers.aim(scene, self.servers(scene), destroys=True)
        population = servers.population + len(mine.union(*found.values()))
        return replace(servers, targets=(*sorted(mine), *servers.targets), population=population)

    def capture(self, scene: ports.Scene) -> Mapping[str, Any]:
        open_nodes = [name for name, takes_pods in _pods.cluster(scene).nodes(self.region).items() if takes_pods]
        return {**_pods.capture(scene, self.region, self.servers(scene)), "nodes": open_nodes}

    def apply(self, scene: ports.Scene) -> None:
        cluster = _pods.cluster(scene)
        cluster.cordon(list(cluster.nodes(self.region)))
        self.clear(cluster, [s.name for s in self.servers(scene)])

    def servers(self, scene: ports.Scene) -> list[ports.Instance]:
        return [i for r in scene.platform.regions if r.name == self.region for i in r.instances]

    def clear(self, cluster: powers.Scheduled, servers: list[str]) -> None:
        """Take the pods of these servers away."""
        raise NotImplementedError

    def confirm(self, scene: ports.Scene, before: Mapping[str, Any]) -> ports.Receipt:
        nodes = _pods.cluster(scene).nodes(self.region)
        still = sorted(set(_pods.placed(scene, self.region, before)))
        if still or not before["servers"]:
            return ports.Receipt((), f"on nodes are still {', '.join(still) or 'none, as before'}")
        closed = [name for name, takes_pods in nodes.items() if not takes_pods]
        wanted = (*before["nodes"], *before["servers"]) if before["nodes"] else ()
        return _servers.receipt(wanted, (*closed, *before["servers"]), "the nodes take no pods, and none of the servers is on one")

    def heal(self, scene: ports.Scene, before: Mapping[str, Any]) -> None:
        """The nodes take pods again; servers that nobody has brought back start again there, empty."""
        _pods.cluster(scene).uncordon(before["nodes"])
        _servers.start_again(self.servers(scene), before)

    def healed(self, scene: ports.Scene, before: Mapping[str, Any]) -> bool:
        nodes = _pods.cluster(scene).nodes(self.region)
        return all(nodes.get(n) for n in before["nodes"]) and _pods.healed(scene, self.region, self.servers(scene), before)
