"""The network to servers is slow."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from drplatform.faults import _links
from drplatform.model import powers


@dataclass(frozen=True)
class NetworkSlow(_links.OnLinks):
    """Everything to and from some stores' servers in a region is `seconds` late, each way."""

    seconds: float = 0.1

    kind = "network-slow"
    how = powers.SLOW

    def more(self) -> Mapping[str, Any]:
        return {"seconds": self.seconds}


FAULT = NetworkSlow
