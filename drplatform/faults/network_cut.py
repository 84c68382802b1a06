"""The network to servers is cut: nothing passes, and nobody is told. Before proxies, what the servers dial still passes; `region-partitioned` cuts both."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from drplatform.faults import _links
from drplatform.model import drill, powers


@dataclass(frozen=True)
class NetworkCut(_links.OnLinks):
    """The network to some stores' servers in a region is cut, or (`one_way`) only what is sent to them is lost; connections stay open."""

    one_way: bool = False

    kind = "network-cut"
    how = powers.CUT

    def needs(self) -> frozenset[str]:
        of_clients = self.one_way and (not self.sources or powers.CLIENTS in self.sources)
        return super().needs() | (frozenset({f"{drill.ONE_WAY}:{self.region}"}) if of_clients else frozenset())

    def more(self) -> Mapping[str, Any]:
        return {"one_way": self.one_way}


FAULT = NetworkCut
