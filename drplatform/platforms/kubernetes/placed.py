"""powers.Scheduled: the pods of the platform's servers, and the nodes that they are on. Touches no pod but those of the platform's namespace.

Pods are killed and nodes cordoned by actions of chaostoolkit-kubernetes; evictions, and all that is undone, by ourselves (see `actions`).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from drplatform.model.powers import Pod
from drplatform.platforms.kubernetes import actions, manifests
from drplatform.platforms.kubernetes.cluster import Cluster

CORDONED = "drplatform.io/cordoned-by"
"""The annotation of a node with whoever cordoned it, so that another process can tell what to undo."""


class Placed:
    """For a platform with a cluster, a namespace and nodes of each region."""

    _cluster: Cluster
    _nodes: Mapping[str, tuple[str, ...]]
    _gone: dict[str, str]
    _places: Mapping[str, Any]

    @property
    def namespace(self) -> str:
        raise NotImplementedError

    @property
    def owner(self) -> str:
        """Whom a node is said to be cordoned by."""
        raise NotImplementedError

    def _act(self, wanted: Sequence[actions.Action]) -> None:
        raise NotImplementedError

    def pods(self, region: str) -> Mapping[str, Pod]:
        listed = self._cluster.get("pods", "-n", self.namespace, "-l", manifests.SERVER)["items"]
        there = {p["metadata"]["labels"][manifests.SERVER]: p for p in listed if "deletionTimestamp" not in p["metadata"]}
        return {
            name: Pod(str(pod["metadata"]["uid"]), str(pod["spec"].get("nodeName", "")))
            for name, pod in there.items()
            if name in self._places and self._places[name].region == region
        }

    def delete_pods(self, region: str, servers: Sequence[str]) -> None:
        if leaving := self._leaving(region, servers):
            self._act([actions.terminate_pods(self.namespace, [f"{name}-0" for name in leaving])])

    def evict_pods(self, region: str, servers: Sequence[str]) -> None:
        for name in self._leaving(region, servers):
            self._cluster.evict(self.namespace, f"{name}-0")

    def nodes(self, region: str) -> Mapping[str, bool]:
        wanted = self._nodes.get(region, ())
        listed = {n["metadata"]["name"]: n for n in self._cluster.get("nodes")["items"]}
        return {name: not listed[name]["spec"].get("unschedulable", False) for name in wanted if name in listed}

    def cordon(self, nodes: Sequence[str]) -> None:
        """Whose it is, is noted on each first, so that whoever finds it later can tell."""
        found = {n["metadata"]["name"]: n for n in self._cluster.get("nodes")["items"]}
        still_open = [name for name in nodes if not found[name]["spec"].get("unschedulable")]
        for name in still_open:
            self._cluster.note_on_node(name, {CORDONED: self.owner})
        if still_open:
            self._act(list(map(actions.cordon, still_open)))

    def uncordon(self, nodes: Sequence[str]) -> None:
        mine = cordoned(self._cluster)
        for name in nodes:
            if mine.get(name) == self.owner:
                self._cluster.open_node(name, CORDONED)

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
