"""The network to servers loses packets."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from drplatform.faults import _links
from drplatform.model import errors, powers


@dataclass(frozen=True)
class NetworkLossy(_links.OnLinks):
    """A `share` of the packets to and from some stores' servers in a region is lost, as those who use TCP see it: they wait for it to be sent again."""

    share: float = 0.1

    kind = "network-lossy"
    how = powers.LOSSY

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise errors.PlanError(f"share: {self.share} is no share of packets; say one between 0 and 1, e.g. 0.1")

    def more(self) -> Mapping[str, Any]:
        return {"share": self.share}


FAULT = NetworkLossy
