"""The Docker platform: what of the embedded platform is another with containers: how servers are made, networks, and what is cleared."""

from collections.abc import Mapping
from pathlib import Path
from typing import Self

from drplatform.model import errors
from drplatform.model.clock import Clock
from drplatform.model.powers import Hindrance
from drplatform.platforms.docker import engine as engines
from drplatform.platforms.docker import network
from drplatform.platforms.docker.container import ContainerServer
from drplatform.platforms.docker.engine import Engine
from drplatform.platforms.docker.network import Networks
from drplatform.platforms.embedded import binaries, layout, lease, links
from drplatform.platforms.embedded.platform import EmbeddedPlatform
from drplatform.platforms.embedded.server import Recipe
from drplatform.platforms.embedded.services import KIND, PORTS

_BIN = Path("/usr/local/bin")
PROGRAMS = binaries.Programs(_BIN / "mongod", _BIN / "valkey-server", _BIN / "weed")
"""In the image."""


class DockerPlatform(EmbeddedPlatform):
    """ports.Platform with all powers of the embedded one, and Severable. Make one with `open_engine`."""

    name = "docker"
    hindrances = network.HINDRANCES
    one_way_for_clients = False
    carrier = "the engine, of the networks that servers are on,"

    def __init__(self, clock: Clock, base: Path, environment: Mapping[str, str], wanted: frozenset[str], engine: Engine) -> None:
        super().__init__(
            clock, base, PROGRAMS, environment, wanted - {links.LINKS}
        )  # networks are left and joined: nothing stands before a server
        self._engine = engine
        self._networks: Networks | None = None

    @classmethod
    def open_engine(
        cls, clock: Clock, base: Path, environment: Mapping[str, str], wanted: frozenset[str] = frozenset(), image: str = engines.IMAGE
    ) -> Self:
        """A platform that starts when it is entered and is gone when it is left. Raises SettingsError without an engine, or the image on it."""
        return cls(clock, base, environment, wanted, engines.connect(image))

    def _draw(self, directory: Path) -> layout.Layout:
        for _ in range(network.ATTEMPTS):
            drawn = network.drawn(self._wanted)
            places = (*drawn.servers, drawn.vault, *([drawn.names] if drawn.names else []))
            self._networks = Networks(directory, places, self._engine)
            if self._networks.make():
                return drawn
        raise errors.SettingsError(
            "No free subnet of 10.100.0.0 to 10.199.255.0 was found for networks; remove some: docker network prune."
        )

    def close(self) -> None:
        """Remove containers, networks and the directory: nothing of it is needed any more."""
        assert self._lease, "only the owner closes"
        directory = self._lease.directory
        self._waits.closing.set()
        self._engine.clear(directory)
        super().close()
        self._engine.close()

    def hinder(self, hindrance: Hindrance) -> None:
        """See `powers.Severable`. Raises SettingsError for anything but a cut."""
        self._made.hinder(hindrance, self._containers())

    def unhinder(self) -> None:
        self._made.unhinder(self._containers())

    def hindered(self) -> Hindrance | None:
        return self._made.hindered(self._containers())

    def _containers(self) -> dict[str, str]:
        """Of the servers whose containers run."""
        return {s.name: s.container for s in self.everything() if isinstance(s, ContainerServer) and s.alive()}

    def _server(self, place: layout.Place, directory: Path, recipe: Recipe) -> ContainerServer:
        return ContainerServer(place, directory, recipe, self._engine, self._made, self._waits)

    def _service_place(self, drawn: layout.Layout, region: str, service: str) -> layout.Place:
        return self._made.add(region, f"{service}-{region}", KIND, PORTS)

    @property
    def _made(self) -> Networks:
        assert self._networks, "the platform was entered"
        return self._networks


def sweep(base: Path, clock: Clock) -> int:
    """Clear every platform whose owner died, its containers and networks with it. The number of platforms cleared.

    Touches only what is labelled with a directory below `base`.
    """
    cleared = lease.sweep(base, clock)
    engine = engines.find()
    if engine is None:
        return cleared
    try:
        left = [p for p in engine.platforms() if p.parent == base.absolute() and not p.exists()]
        for platform in left:
            engine.clear(platform)
    finally:
        engine.close()
    return max(cleared, len(left))
