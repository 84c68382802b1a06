"""Connections to servers are reset, again and again."""

from dataclasses import dataclass

from drplatform.faults import _links
from drplatform.model import powers


@dataclass(frozen=True)
class ConnectionsReset(_links.OnLinks):
    """Every connection to some stores' servers in a region is reset, those that are there and each new one."""

    kind = "connections-reset"
    how = powers.RESET


FAULT = ConnectionsReset
