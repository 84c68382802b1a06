"""The nodes of a region are lost, as when their machines die: no grace for what runs there, and nothing comes back there."""

from dataclasses import dataclass

from drplatform.faults import _nodes
from drplatform.model import powers


@dataclass(frozen=True)
class NodeLost(_nodes.OnNodes):
    """The nodes of a region take no pods any more, and the pods of its servers die at once; other pods on them stay."""

    kind = "node-lost"

    def clear(self, cluster: powers.Scheduled, servers: list[str]) -> None:
        cluster.delete_pods(self.region, servers)


FAULT = NodeLost
