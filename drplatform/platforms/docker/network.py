"""Where containers are: each region, and the vault, is a network; how two regions are cut apart.

A server has its address on the network of its own region, by which everybody knows it, and a leg on the network of each other region, by which it
dials the servers there. Docker lets nothing pass between networks, so a server that loses its leg reaches that region no more, while it
stays reachable for clients of this machine and for its own region. Connections that are there go with the leg.
"""

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from drplatform.model import errors
from drplatform.model.powers import CLIENTS, CUT, Hindrance
from drplatform.platforms.docker.engine import Engine
from drplatform.platforms.embedded import layout

ATTEMPTS = 50
HINDRANCES = frozenset({CUT})
"""What is slow or lossy is the embedded platform's: it would take tools in the image, and a kernel that has netem."""
_FIRST, _LEGS = 10, 60
"""The last number of servers' own addresses, and of their legs, begin here."""
_PER_REGION = 50
_REGIONS = (layout.PRIMARY, layout.SECONDARY, layout.WITNESS)


def drawn(wanted: frozenset[str]) -> layout.Layout:
    """A layout with an address for each server. Ports are as on one machine, which is harmless."""
    base = layout.draw(wanted)
    block, begin = secrets.randbelow(100) + 100, secrets.randbelow(240)
    places = [*base.servers, base.vault, *([base.names] if base.names else [])]
    regions = list(dict.fromkeys(p.region for p in places))
    counts = dict.fromkeys(regions, 0)
    moved = {}
    for place in places:
        moved[place.name, place.region] = replace(
            place, host=f"10.{block}.{begin + regions.index(place.region)}.{_FIRST + counts[place.region]}"
        )
        counts[place.region] += 1
    at = {(p.name, p.region): moved[p.name, p.region] for p in places}
    return replace(
        base,
        servers=tuple(at[p.name, p.region] for p in base.servers),
        vault=at[base.vault.name, base.vault.region],
        names=at[base.names.name, base.names.region] if base.names else None,
    )


class Networks:
    """The networks of one platform. `places` grows when services are deployed."""

    def __init__(self, platform: Path, places: Iterable[layout.Place], engine: Engine) -> None:
        self._platform, self._engine = platform, engine
        self._places = list(places)
        self._hindrance: Hindrance | None = None

    def make(self) -> bool:
        """Whether all subnets were free; none is kept when one was not."""
        for region, host in self._subnets().items():
            if not self._engine.make_network(self._name(region), f"{host.rpartition('.')[0]}.0/24", self._platform):
                self._engine.clear(self._platform)
                return False
        return True

    def add(self, region: str, name: str, kind: str, ports: Mapping[str, int]) -> layout.Place:
        """A further place in the region."""
        prefix = self._subnets()[region].rpartition(".")[0]
        number = _FIRST + sum(p.region == region for p in self._places)
        if number >= _LEGS:
            raise errors.SettingsError(f"The {region} region has no address left for {name}.")
        place = layout.Place(name, kind, region, f"{prefix}.{number}", ports)
        self._places.append(place)
        return place

    def addresses(self, place: layout.Place) -> dict[str, str]:
        """Network -> address: its own first, then its legs, as far as they are not cut."""
        legs = {self._name(r): a for r, a in self._legs(place).items() if not self._is_cut(place, r)}
        return {self._name(place.region): place.host, **legs}

    # -- cutting ---------------------------------------------------------------------------------------------------------------------

    def hinder(self, hindrance: Hindrance, containers: Mapping[str, str]) -> None:
        """`containers`: by the names of the servers, those that are there. Raises SettingsError for what networks cannot do."""
        if hindrance.how not in HINDRANCES or CLIENTS in hindrance.targets or (hindrance.one_way and CLIENTS in hindrance.sources):
            raise errors.SettingsError(
                "Networks of Docker can cut regions from each other and from their clients, and nothing else; use the embedded platform for more."
            )
        self.unhinder(containers)
        self._hindrance = hindrance
        for place in self._places:
            for region in self._ways(place):
                if place.name in containers and self._is_cut(place, region):
                    self._engine.leave(self._name(region), containers[place.name])

    def unhinder(self, containers: Mapping[str, str]) -> None:
        self._hindrance = None
        for place in self._places:
            if place.name in containers:
                there = self._engine.networks_of(containers[place.name])
                for region, address in self._ways(place).items():
                    if self._name(region) not in there:
                        self._engine.join(self._name(region), containers[place.name], address)

    def hindered(self, containers: Mapping[str, str]) -> Hindrance | None:
        """As the engine tells: in force when every running server that it concerns, and it concerns some, has lost its leg."""
        if self._hindrance is None or not any(self._is_cut(place, r) for place in self._places for r in self._ways(place)):
            return None
        for place in self._places:
            there = self._engine.networks_of(containers[place.name]) if place.name in containers else frozenset()
            if any(self._is_cut(place, r) and self._name(r) in there for r in self._ways(place)):
                return None
        return self._hindrance

    def _is_cut(self, place: layout.Place, region: str) -> bool:
        cut = self._hindrance
        if cut is None or (cut.kinds and place.kind not in cut.kinds):
            return False
        if region == place.region:
            return CLIENTS in cut.sources and region in cut.targets
        forth = place.region in cut.sources and region in cut.targets
        back = place.region in cut.targets and region in cut.sources
        return forth or (back and not cut.one_way)

    def _ways(self, place: layout.Place) -> dict[str, str]:
        """Region -> address there, its own with it: clients come by that, and so does whoever is beside it in its region."""
        return {**({place.region: place.host} if place.region in _REGIONS else {}), **self._legs(place)}

    def _legs(self, place: layout.Place) -> dict[str, str]:
        """Region -> address there: for servers of regions, in the networks of all other regions. The vault and the names have none."""
        if place.region not in _REGIONS:
            return {}
        number = _LEGS + _REGIONS.index(place.region) * _PER_REGION + int(place.host.rpartition(".")[2]) - _FIRST
        return {r: f"{h.rpartition('.')[0]}.{number}" for r, h in self._subnets().items() if r in _REGIONS and r != place.region}

    def _subnets(self) -> dict[str, str]:
        return {place.region: place.host for place in reversed(self._places)}

    def _name(self, region: str) -> str:
        return f"drplatform-{self._platform.name}-{region}"
