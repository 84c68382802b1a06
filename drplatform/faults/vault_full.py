"""The vault takes no more."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from drplatform.faults import _limits
from drplatform.faults.vault_unreachable import server
from drplatform.model import ports, powers


@dataclass(frozen=True)
class VaultFull:
    """No file of the vault's server can be written any further; what is there can be read."""

    kind = "vault-full"

    def affects(self) -> frozenset[str]:
        return frozenset()

    def needs(self) -> frozenset[str]:
        return frozenset({"vault-server"})

    def aim(self, scene: ports.Scene) -> powers.Aim:
        return powers.Aim((server(scene).name,), 1, frozenset({"vault"}))

    def capture(self, scene: ports.Scene) -> Mapping[str, Any]:
        return _limits.capture([server(scene)], powers.FILE_SIZE)

    def apply(self, scene: ports.Scene) -> None:
        vault = server(scene)
        assert isinstance(vault, powers.Limited)
        vault.limit(powers.FILE_SIZE, 1)

    def confirm(self, scene: ports.Scene, before: Mapping[str, Any]) -> ports.Receipt:
        return _limits.confirm([server(scene)], before, powers.FILE_SIZE, "the kernel lets none of its files grow")

    def heal(self, scene: ports.Scene, before: Mapping[str, Any]) -> None:
        _limits.heal([server(scene)], before, powers.FILE_SIZE)

    def healed(self, scene: ports.Scene, before: Mapping[str, Any]) -> bool:
        return _limits.healed([server(scene)], before, powers.FILE_SIZE)


FAULT = VaultFull
