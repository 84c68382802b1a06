"""powers.Scheduled: the pods of the platform's servers, and the nodes that they are on. Touches no pod but those of the platform's namespaces.

Pods are killed and nodes cordoned by actions of chaostoolkit-kubernetes; evictions, and all that is undone, by ourselves (see `actions`).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from drplatform.model.powers import Pod
from drplatform.platforms.kubernetes import actions
from drplatform.platforms.kubernetes import site as sites
from drplatform.platforms.kubernetes.cluster import Cluster
from drplatform.platforms.kubernetes.site import Site

CORDONED = "drplatform.io/cordoned-by"
"""The annotation of a node with whoever cordoned it, so that another process can tell what to undo."""


class Placed:
    """For a platform with a site for each region, which may be the same."""

    _sites: Sequence[Site]
    _gone: dict[str, str]
    _places: Mapping[str, Any]

    @property
    def owner(self) -> str:
        """Whom a node is said to be cordoned by."""
        raise NotImplementedError

    def _act(self, site: Site, wanted: Sequence[actions.Action]) -> None:
        raise NotImplementedError

    def site(self, region: str) -> Site:
        """The one that the region is in."""
        return sites.of(self._sites, region)

    def pods(self, region: str) -> Mapping[str, Pod]:
        site = self.site(region)
        there = {name: pod for name, pod in site.pods().items() if "deletionTimestamp" not in pod["metadata"]}
        return {
            name: Pod(str(pod["metadata"]["uid"]), site.called(node) if (node := str(pod["spec"].get("nodeName", ""))) else "")
            for name, pod in there.items()
            if name in self._places and self._places[name].region == region
        }

    def delete_pods(self, region: str, servers: Sequence[str]) -> None:
        site = self.site(region)
        if leaving := self._leaving(region, servers):
            self._act(site, [actions.terminate_pods(site.namespace, [f"{name}-0" for name in leaving])])

    def evict_pods(self, region: str, servers: Sequence[str]) -> None:
        site = self.site(region)
        for name in self._leaving(region, servers):
            site.cluster.evict(site.namespace, f"{name}-0")

    def nodes(self, region: str) -> Mapping[str, bool]:
        site = self.site(region)
        listed = {n["metadata"]["name"]: n for n in site.cluster.get("nodes")["items"]}
        return {
            site.called(name): not listed[name]["spec"].get("unschedulable", False) for name in site.nodes.get(region, ()) if name in listed
        }

    def cordon(self, nodes: Sequence[str]) -> None:
        """Whose it is, is noted on each first, so that whoever finds it later can tell."""
        for site, wanted in self._by_site(nodes):
            found = {n["metadata"]["name"]: n for n in site.cluster.get("nodes")["items"]}
            still_open = [name for name in wanted if not found[name]["spec"].get("unschedulable")]
            for name in still_open:
                site.cluster.note_on_node(name, {CORDONED: self.owner})
            if still_open:
                self._act(site, list(map(actions.cordon, still_open)))

    def uncordon(self, nodes: Sequence[str]) -> None:
        for site, wanted in self._by_site(nodes):
            mine = cordoned(site.cluster)
            for name in wanted:
                if mine.get(name) == self.owner:
                    site.cluster.open_node(name, CORDONED)

    def _by_site(self, nodes: Sequence[str]) -> Iterator[tuple[Site, list[str]]]:
        """The nodes, as their cluster calls them, of each site that has some of them."""
        for site in self._sites:
            if found := [name for name in site.every_node() if site.called(name) in nodes]:
                yield site, found

    def _leaving(self, region: str, servers: Sequence[str]) -> list[str]:
        """Those that have a pod. It is noted, so that nobody takes it for the one that comes."""
        pods = self.pods(region)
        leaving = [name for name in servers if name in pods]
        self._gone.update({name: pods[name].uid for name in leaving})
        return leaving


def cordoned(cluster: Cluster) -> dict[str, str]:
    """Node -> who cordoned it, of the nodes that a platform of drplatform has cordoned."""
    noted = {n["metadata"]["name"]: (n["metadata"].get("annotations") or {}).get(CORDONED) for n in cluster.get("nodes")["items"]}
    return {name: str(by) for name, by in noted.items() if by}
