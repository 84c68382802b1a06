"""Servers of a region die and take their disks with them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from drplatform.faults import _servers
from drplatform.model import ports, powers


@dataclass(frozen=True)
class ServersLost:
    """The servers of some stores in a region are killed, and everything on their disks is lost."""

    region: str = "primary"
    stores: tuple[str, ...] = ("mongodb", "redis")

    lasting = True
    kind = "servers-lost"

    def affects(self) -> frozenset[str]:
        return frozenset(self.stores)

    def needs(self) -> frozenset[str]:
        return frozenset({f"killable:{self.region}", f"erasable:{self.region}", *(f"store:{s}" for s in self.stores)})

    def aim(self, scene: ports.Scene) -> powers.Aim:
        return _servers.aim(scene, self._servers(scene), destroys=True)

    def capture(self, scene: ports.Scene) -> Mapping[str, Any]:
        return {"servers": [i.name for i in self._servers(scene)], "stored": sum(map(_stored, self._servers(scene)))}

    def apply(self, scene: ports.Scene) -> None:
        for server in self._servers(scene):
            assert isinstance(server, ports.Killable)
            server.kill()
        for server in self._servers(scene):
            assert isinstance(server, ports.Erasable)
            server.erase()

    def confirm(self, scene: ports.Scene, before: Mapping[str, Any]) -> ports.Receipt:
        gone = tuple(i.name for i in self._servers(scene) if not i.running() and _stored(i) == 0)
        if set(gone) != set(before["servers"]) or not before["stored"]:
            return ports.Receipt((), f"gone are {', '.join(gone) or 'none'} of {', '.join(before['servers']) or 'none'}")
        return ports.Receipt(gone, f"no process, nothing listens, and {before['stored']:,} bytes of their disks are gone")

    def heal(self, scene: ports.Scene, before: Mapping[str, Any]) -> None:
        """Servers that nobody has brought back start again, empty; those that run are not touched."""
        for server in self._servers(scene):
            if not server.running():
                server.start()

    def healed(self, scene: ports.Scene, before: Mapping[str, Any]) -> bool:
        return all(i.running() for i in self._servers(scene))

    def _servers(self, scene: ports.Scene) -> list[ports.Instance]:
        kinds = {scene.stores[name].kind for name in self.stores}
        return [i for r in scene.platform.regions if r.name == self.region for i in r.instances if i.kind in kinds]


def _stored(server: ports.Instance) -> int:
    return server.stored_bytes() if isinstance(server, ports.Erasable) else 0


FAULT = ServersLost
