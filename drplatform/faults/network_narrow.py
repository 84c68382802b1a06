"""The network to servers carries little."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from drplatform.faults import _links
from drplatform.model import errors, powers


@dataclass(frozen=True)
class NetworkNarrow(_links.OnLinks):
    """At most `rate` bytes a second pass to each of some stores' servers in a region, and as many back, all connections together."""

    rate: float = 65536.0

    kind = "network-narrow"
    how = powers.NARROW

    def __post_init__(self) -> None:
        if not self.rate > 0:
            raise errors.PlanError(f"rate: {self.rate} is no rate; say bytes a second, e.g. 65536")

    def more(self) -> Mapping[str, Any]:
        return {"rate": self.rate}


FAULT = NetworkNarrow
