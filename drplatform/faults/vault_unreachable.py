"""The vault does not answer."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from drplatform.faults import _servers
from drplatform.model import ports, powers


@dataclass(frozen=True)
class VaultUnreachable:
    """The server of the backup vault is killed; its disk is kept."""

    kind = "vault-unreachable"

    def affects(self) -> frozenset[str]:
        return frozenset()

    def needs(self) -> frozenset[str]:
        return frozenset({"vault-server"})

    def aim(self, scene: ports.Scene) -> powers.Aim:
        return powers.Aim((server(scene).name,), 1, frozenset({"vault"}))

    def capture(self, scene: ports.Scene) -> Mapping[str, Any]:
        vault = server(scene)
        return {"servers": [vault.name] if vault.running() else []}

    def apply(self, scene: ports.Scene) -> None:
        vault = server(scene)
        assert isinstance(vault, ports.Killable)
        vault.kill()

    def confirm(self, scene: ports.Scene, before: Mapping[str, Any]) -> ports.Receipt:
        vault = server(scene)
        return _servers.receipt(
            before["servers"], [] if vault.running() else [vault.name], "no process, and nothing listens at its address"
        )

    def heal(self, scene: ports.Scene, before: Mapping[str, Any]) -> None:
        _servers.start_again([server(scene)], before)

    def healed(self, scene: ports.Scene, before: Mapping[str, Any]) -> bool:
        return _servers.all_run([server(scene)], before)


def server(scene: ports.Scene) -> ports.Instance:
    assert isinstance(scene.platform, powers.Vaulted)  # the plan has made sure
    return scene.platform.vault_server


FAULT = VaultUnreachable
