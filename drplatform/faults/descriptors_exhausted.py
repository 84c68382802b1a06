"""Servers are out of file descriptors."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from drplatform.faults import _limits, _servers
from drplatform.model import ports, powers


@dataclass(frozen=True)
class DescriptorsExhausted(_servers.OnServers):
    """Servers of some stores in a region can open no further file or connection; those that are open stay."""

    stores: tuple[str, ...] = ("redis",)

    kind = "descriptors-exhausted"

    def needs(self) -> frozenset[str]:
        return frozenset({f"limited:{self.region}", f"traceable:{self.region}"})

    def capture(self, scene: ports.Scene) -> Mapping[str, Any]:
        return _limits.capture(self.servers(scene), powers.FILE_DESCRIPTORS)

    def apply(self, scene: ports.Scene) -> None:
        """New descriptors are the lowest free numbers, so a limit of one leaves none."""
        for server in self.servers(scene):
            assert isinstance(server, powers.Limited)
            server.limit(powers.FILE_DESCRIPTORS, 1)

    def confirm(self, scene: ports.Scene, before: Mapping[str, Any]) -> ports.Receipt:
        return _limits.confirm(self.servers(scene), before, powers.FILE_DESCRIPTORS, "the kernel allows them no further descriptor")

    def heal(self, scene: ports.Scene, before: Mapping[str, Any]) -> None:
        _limits.heal(self.servers(scene), before, powers.FILE_DESCRIPTORS)

    def healed(self, scene: ports.Scene, before: Mapping[str, Any]) -> bool:
        return _limits.healed(self.servers(scene), before, powers.FILE_DESCRIPTORS)


FAULT = DescriptorsExhausted
