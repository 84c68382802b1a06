"""The nodes of a region are drained, as for maintenance."""

from dataclasses import dataclass

from drplatform.faults import _nodes
from drplatform.model import powers


@dataclass(frozen=True)
class NodeDrained(_nodes.OnNodes):
    """The nodes of a region are cordoned, and the pods of its servers evicted; other pods on them stay."""

    kind = "node-drained"

    def clear(self, cluster: powers.Scheduled, servers: list[str]) -> None:
        cluster.evict_pods(self.region, servers)


FAULT = NodeDrained
