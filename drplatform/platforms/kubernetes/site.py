"""What a platform has in one cluster: a namespace of its own, a machine for each server that is there, and the nodes of its regions."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from drplatform.platforms.embedded import layout
from drplatform.platforms.kubernetes import cluster as clusters
from drplatform.platforms.kubernetes import manifests
from drplatform.platforms.kubernetes.cluster import Cluster

GATEWAY = "gateway"
"""The machine through which the runner, and the pods of another cluster, reach all others of the site. Nothing else runs there."""


class Site:
    """One cluster of a platform. `name`: the region that it is; empty where one cluster has all regions."""

    def __init__(self, cluster: Cluster, name: str = "") -> None:
        self.cluster, self.name = cluster, name
        self.regions = (name,) if name else layout.REGIONS
        self.namespace = ""
        self.nodes: Mapping[str, tuple[str, ...]] = {}
        self.entries: dict[str, str] = {}
        """Where its machines are entered from within this cluster, by their names."""
        self.door = ""
        """Where its gateway is entered from the other cluster."""
        self._addresses: Mapping[str, str] = {}
        self._port = 0

    def open(self, namespace: str, documents: Sequence[manifests.Document]) -> None:
        """Make the namespace, which is the first of the documents, and what they hold besides. Raises SettingsError, StoreError."""
        found = self.cluster.nodes()
        self.nodes = clusters.regions(found, self.regions)
        self._addresses = {node.name: node.address for node in found if node.address}
        self.namespace = namespace
        first, *others = documents
        self.cluster.apply([first])
        self.cluster.apply(others)

    def make(self, rendered: Sequence[manifests.Document], regions: Mapping[str, str]) -> None:
        """A machine for each name, on the nodes of its region; on any node where the region has none here. Does not wait for them."""
        made = [d for name, region in regions.items() for d in manifests.of_machine(rendered, name, self.nodes.get(region, ()))]
        if self.name and GATEWAY in regions:
            made = manifests.with_door(made, GATEWAY)
        self.cluster.apply(made)
        for service in self.cluster.get("services", "-n", self.namespace)["items"]:
            name, spec = service["metadata"]["name"], service["spec"]
            self.entries[name] = f"{spec['clusterIP']}:{manifests.ENTRY}"
            if name == GATEWAY:
                self._port = int(spec["ports"][0].get("nodePort", 0))

    def doors(self) -> list[str]:
        """Where its gateway may be entered from the other cluster: at every node, first at that of the gateway's pod."""
        own = ((self.pods().get(GATEWAY) or {}).get("spec") or {}).get("nodeName", "")
        return [f"{self._addresses[name]}:{self._port}" for name in sorted(self._addresses, key=lambda name: (name != own, name))]

    def pods(self) -> dict[str, Mapping[str, Any]]:
        """Pods of machines, by the machine's name. What goes counts while it is there."""
        listed = self.cluster.get("pods", "-n", self.namespace, "-l", manifests.SERVER)["items"]
        return {pod["metadata"]["labels"][manifests.SERVER]: pod for pod in listed}

    def pod(self, name: str) -> str:
        """The uid of the machine's pod; empty when there is none."""
        found = self.pods().get(name)
        return str(found["metadata"]["uid"]) if found else ""

    def unready(self, names: Iterable[str]) -> list[str]:
        """Those that are not ready, with what is known of why."""
        pods = self.pods()
        return [f"{name}: {why}" for name in sorted(names) if (why := _why_not_ready(pods.get(name)))]

    def remove_pod(self, name: str) -> None:
        self.cluster.remove_pod(self.namespace, f"{name}-0")

    def every_node(self) -> list[str]:
        """Of its regions, as the cluster calls them, each once."""
        return list(dict.fromkeys(name for names in self.nodes.values() for name in names))

    def called(self, node: str) -> str:
        """The node's name, which another cluster's may have, too."""
        return f"{self.name}/{node}" if self.name else node

    def close(self) -> None:
        """Delete the namespace. Nothing when it was not opened."""
        if self.namespace:
            self.cluster.delete("namespace", self.namespace)


def of(sites: Sequence[Site], region: str) -> Site:
    """The one that the region is in. What is in none (vault, witness) is in the last, since it is the first that most disasters befall."""
    return next((site for site in sites if region in site.regions), sites[-1])


def _why_not_ready(pod: Mapping[str, Any] | None) -> str:
    if pod is None or "deletionTimestamp" in pod["metadata"]:
        return "no pod yet"
    status = pod.get("status") or {}
    conditions: Sequence[Mapping[str, Any]] = status.get("conditions") or []
    if any(c["type"] == "Ready" and c["status"] == "True" for c in conditions):
        return ""
    waiting = [w for c in status.get("containerStatuses") or [] if (w := (c.get("state") or {}).get("waiting"))]
    unscheduled = [c for c in conditions if c["type"] == "PodScheduled" and c["status"] == "False"]
    words = [f"{w.get('reason', '')} {w.get('message', '')}" for w in waiting] or [str(c.get("message", "")) for c in unscheduled]
    return "; ".join(word.strip()[:200] for word in words) or str(status.get("phase", "Pending"))
