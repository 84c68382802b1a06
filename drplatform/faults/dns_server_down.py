"""The name server of the public names does not answer."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from drplatform.faults import _names, _servers
from drplatform.model import ports, powers


@dataclass(frozen=True)
class DnsServerDown:
    """The name server of the public names is killed; its zone is kept. Who knows an address goes on until it has to look it up again."""

    kind = "dns-server-down"

    def affects(self) -> frozenset[str]:
        """Who holds a connection goes on; who has to look the name up notices."""
        return frozenset()

    def needs(self) -> frozenset[str]:
        return frozenset({"names", "name-server"})

    def aim(self, scene: ports.Scene) -> powers.Aim:
        return powers.Aim((_server(scene).name,), 1, frozenset({_server(scene).region}))

    def capture(self, scene: ports.Scene) -> Mapping[str, Any]:
        server = _server(scene)
        return {"servers": [server.name] if server.running() else []}

    def apply(self, scene: ports.Scene) -> None:
        server = _server(scene)
        assert isinstance(server, ports.Killable)
        server.kill()

    def confirm(self, scene: ports.Scene, before: Mapping[str, Any]) -> ports.Receipt:
        """A name is asked for, as clients do."""
        silent = [] if _names.answers(scene) else [_server(scene).name]
        return _servers.receipt(before["servers"], silent, "asked for its own zone, nobody answers")

    def heal(self, scene: ports.Scene, before: Mapping[str, Any]) -> None:
        _servers.start_again([_server(scene)], before)

    def healed(self, scene: ports.Scene, before: Mapping[str, Any]) -> bool:
        return not before["servers"] or _names.answers(scene)


def _server(scene: ports.Scene) -> ports.Instance:
    assert isinstance(scene.platform, powers.NameServed) and scene.platform.name_server  # the plan has made sure
    return scene.platform.name_server


FAULT = DnsServerDown
