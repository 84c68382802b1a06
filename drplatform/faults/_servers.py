"""Which servers a fault hurts: the parameters that faults on servers share, and what they say about them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from drplatform.model import errors, ports, powers

KINDS = ("mongodb", "redis", "files")


@dataclass(frozen=True)
class OnServers:
    """Servers of a region: those of some `stores` (none named: of all), at most `count` of them (0: all)."""

    region: str = "primary"
    stores: tuple[str, ...] = ()
    count: int = 0

    def affects(self) -> frozenset[str]:
        return frozenset(self.stores or KINDS)

    def aim(self, scene: ports.Scene) -> powers.Aim:
        return aim(scene, self.servers(scene))

    def servers(self, scene: ports.Scene) -> list[ports.Instance]:
        """Raises Inconclusive when there is none."""
        kinds = {scene.stores[name].kind if name in scene.stores else name for name in self.stores or KINDS}
        found = [i for r in scene.platform.regions if r.name == self.region for i in r.instances if i.kind in kinds]
        if not found:
            raise errors.Inconclusive(f"No server of {', '.join(sorted(kinds))} is in the region {self.region}; look at the plan.")
        return found[: self.count or None]


def aim(scene: ports.Scene, servers: Iterable[ports.Instance], *, destroys: bool = False) -> powers.Aim:
    chosen = tuple(servers)
    population = sum(len(region.instances) for region in scene.platform.regions)
    return powers.Aim(tuple(s.name for s in chosen), population, frozenset(s.region for s in chosen), destroys)


def trace(server: ports.Instance) -> Mapping[str, str]:
    assert isinstance(server, powers.Traceable)  # the plan has made sure
    return server.trace()


def receipt(wanted: Iterable[str], hurt: Iterable[str], seen: str) -> ports.Receipt:
    """A receipt for all of the wanted servers, or, when some are not hurt, for none."""
    named, found = tuple(wanted), set(hurt)
    if not named or set(named) - found:
        return ports.Receipt((), f"hurt are {', '.join(sorted(found)) or 'none'} of {', '.join(named) or 'none'}")
    return ports.Receipt(named, seen)


def start_again(servers: Iterable[ports.Instance], before: Mapping[str, Any]) -> None:
    """Those that ran before and do not run now, unless they were fenced since."""
    for server in servers:
        if server.name in before["servers"] and not _fenced(server) and not server.running():
            server.start()


def all_run(servers: Iterable[ports.Instance], before: Mapping[str, Any]) -> bool:
    return all(server.running() for server in servers if server.name in before["servers"] and not _fenced(server))


def _fenced(server: ports.Instance) -> bool:
    return isinstance(server, powers.Fenceable) and server.fenced
